import { useConnection } from "holdfast-client/react";

/** What the connection really is. `<holdfast-status>` of `holdfast-client/status-element` says more. */
export function Connection() {
  const { state, lastGoodAt, reason } = useConnection();
  const lost = lastGoodAt && `No connection since ${new Date(lastGoodAt).toLocaleTimeString()}: trying again`;
  if (state === "failed" || state === "closed") return <span role="alert">{reason?.message ?? "Closed"}</span>;
  return <span role="status">{state === "connected" ? "Connected" : (lost ?? "Connecting …")}</span>;
}
