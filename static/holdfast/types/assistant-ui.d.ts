import { useSession } from "./react.js";
export type AppendMessage = import("@assistant-ui/react").AppendMessage;
export type MessageStatus = import("@assistant-ui/react").MessageStatus;
export type ThreadMessageLike = import("@assistant-ui/react").ThreadMessageLike;
export type FollowedSession = ReturnType<typeof useSession>;
export type Message = FollowedSession["messages"][number];
export type FoldedPart = import("./message.js").FoldedPart;
/** @typedef {import("@assistant-ui/react").AppendMessage} AppendMessage */
/** @typedef {import("@assistant-ui/react").MessageStatus} MessageStatus */
/** @typedef {import("@assistant-ui/react").ThreadMessageLike} ThreadMessageLike */
/** @typedef {ReturnType<typeof useSession>} FollowedSession */
/** @typedef {FollowedSession["messages"][number]} Message */
/** @typedef {import("./message.js").FoldedPart} FoldedPart */
/**
 * Follow a session as assistant-ui's store of a thread.
 * @param {string|null} id of the session
 * @returns {import("@assistant-ui/react").ExternalStoreAdapter<Message>}
 */
export declare function useHoldfastThread(id: string | null): import("@assistant-ui/react").ExternalStoreAdapter<Message>;
/** @param {Message} message @returns {ThreadMessageLike} */
export declare function convertMessage(message: Message): ThreadMessageLike;
