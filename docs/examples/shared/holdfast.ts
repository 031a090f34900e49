/** Where Holdfast is: another origin than this page's. */
export const site: string = import.meta.env.VITE_HOLDFAST ?? "http://127.0.0.1:8000";

/** A token for whoever is signed in here, from this page's own back end. */
export async function token(): Promise<string> {
  const answer = await fetch("/token", { method: "POST" });
  const text = await answer.text();
  if (!answer.ok) throw new Error(text);
  return text;
}

/** Put a conversation's id into the page's address, so that a reload and a second tab find it again. */
export function keepInAddress(name: string, id: string): string {
  history.replaceState(null, "", `?${name}=${id}`);
  return id;
}

/** An id in the page's address. */
export const idInAddress = (name: string): string | null => new URLSearchParams(location.search).get(name);
