export type ProviderMetadata = Record<string, Record<string, any>>;
export type TextPart = {
    type: "text";
    text: string;
    state?: "streaming" | "done";
    citations?: any[];
    providerMetadata?: ProviderMetadata;
};
export type ReasoningPart = {
    type: "reasoning";
    id?: string;
    text: string;
    state?: "streaming" | "done";
    providerMetadata?: ProviderMetadata;
};
export type FilePart = {
    type: "file";
    mediaType: string;
    url: string;
    filename?: string;
    providerMetadata?: ProviderMetadata;
};
export type ReasoningFilePart = {
    type: "reasoning-file";
    mediaType: string;
    url: string;
    providerMetadata?: ProviderMetadata;
};
export type SourceUrlPart = {
    type: "source-url";
    sourceId: string;
    url: string;
    title?: string;
    providerMetadata?: ProviderMetadata;
};
export type SourceDocumentPart = {
    type: "source-document";
    sourceId: string;
    mediaType: string;
    title: string;
    filename?: string;
    providerMetadata?: ProviderMetadata;
};
export type DataPart = {
    type: `data-${string}`;
    id?: string;
    data: unknown;
};
export type CustomPart = {
    type: "custom";
    kind: `${string}.${string}`;
    providerMetadata?: ProviderMetadata;
};
export type SteeringPart = {
    type: "steering-message";
    id: string;
    parts: (TextPart | FilePart)[];
};
export type StepStartPart = {
    type: "step-start";
};
export type ApprovalDescriptor = {
    input_hash: string;
    input_text?: string;
    expires_at: number | null;
    editable: boolean;
};
export type ToolApproval<Decision extends {
    approved?: boolean;
    reason?: string;
}> = {
    id: string;
    descriptor?: ApprovalDescriptor;
    requestReason?: string;
    isAutomatic?: boolean;
    signature?: string;
    inputSchemaInput?: unknown;
} & Decision;
export type ToolCall = {
    toolCallId: string;
    title?: string;
    toolMetadata?: Record<string, any>;
    providerExecuted?: boolean;
    callProviderMetadata?: ProviderMetadata;
} & ({
    state: "input-streaming";
    input?: any;
    rawInput?: string;
    inputEncoding?: "json" | "text";
    approval?: never;
} | {
    state: "input-available";
    input: unknown;
    approval?: never;
} | {
    state: "approval-requested";
    input: unknown;
    approval: ToolApproval<{
        approved?: never;
        reason?: never;
    }>;
} | {
    state: "approval-responded";
    input: unknown;
    approval: ToolApproval<{
        approved: boolean;
        reason?: string;
    }>;
} | {
    state: "output-available";
    input: unknown;
    output: unknown;
    preliminary?: boolean;
    resultProviderMetadata?: ProviderMetadata;
    approval?: ToolApproval<{
        approved: true;
        reason?: string;
    }>;
} | {
    state: "output-error";
    input: unknown;
    rawInput?: unknown;
    errorText: string;
    resultProviderMetadata?: ProviderMetadata;
    approval?: ToolApproval<{
        approved: true;
        reason?: string;
    }>;
} | {
    state: "output-denied";
    input: unknown;
    approval: ToolApproval<{
        approved: false;
        reason?: string;
    }>;
});
export type ToolPart = ({
    type: `tool-${string}`;
} | {
    type: "dynamic-tool";
    toolName: string;
}) & ToolCall;
export type Part = TextPart | ReasoningPart | ToolPart | FilePart | ReasoningFilePart | SourceUrlPart | SourceDocumentPart | DataPart | CustomPart | SteeringPart | StepStartPart;
export type Message<PartType = Part> = {
    id: string;
    role: "user" | "assistant" | "system";
    status: "streaming" | "complete" | "cancelled" | "failed" | "interrupted";
    reason: string | null;
    metadata: object | null;
    first_serial: number;
    last_serial: number;
    created_at: number;
    /**
     * id of the message that it follows
     */
    parent: string | null;
    /**
     * id of the answer that it goes on with
     */
    continues: string | null;
    /**
     * id of the message that took its place; null while it is on show
     */
    replaced_by: string | null;
    parts: PartType[];
    open: {
        text: Record<string, number>;
        reasoning: Record<string, number>;
        tools: Record<string, {
            part: number;
            text: string;
        }>;
    };
    revision: number;
};
export type FoldedPart = {
    type: string;
    [field: string]: any;
};
export type FoldedMessage = Message<FoldedPart>;
export type Chunk = {
    type: string;
    [field: string]: any;
};
export type ChunkHandler = (message: FoldedMessage, chunk: Chunk) => void;
/**
 * The next revision. One counter for all messages: the revision never falls when an own message turns from unsent to
 * stored, or when a message leaves and returns.
 */
export declare function nextRevision(): number;
/** Error: a chunk or patch that does not fit the message. */
export declare class FoldError extends Error {
    code: string;
    /** @param {string} code as in the server's errors @param {string} detail */
    constructor(code: string, detail: string);
}
/**
 * A copy of a message's open parts, empty by default. Without prototypes, any id is an ordinary key.
 * @param {Partial<FoldedMessage["open"]>} [open]
 * @returns {FoldedMessage["open"]}
 */
export declare function openOf({ text, reasoning, tools }?: Partial<FoldedMessage["open"]>): FoldedMessage["open"];
/** @param {FoldedMessage} message @param {FoldedPart} part @returns {number} the new part's index */
export declare function addPart(message: FoldedMessage, part: FoldedPart): number;
/** @param {FoldedMessage} message @returns {number} the index of the current step's first part */
export declare function stepStart(message: FoldedMessage): number;
/**
 * Copy the named fields that the chunk has.
 * @template {Record<string, any>} Target
 * @param {Target} to
 * @param {Chunk} from
 * @param {string[]} names
 */
export declare function copyFields<Target extends Record<string, any>>(to: Target, from: Chunk, names: string[]): Target;
/** @param {Chunk} chunk */
export declare function unknownPart(chunk: Chunk): FoldError;
