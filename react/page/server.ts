import { QuotaClient } from "@quota/react";

/** The usage API is mounted where the page is. */
const baseUrl = new URL(".", document.baseURI).href;

/** The header that names the client, where the server says that there is one; otherwise the application knows who asks. */
export const clientHeader = document.documentElement.dataset.clientHeader || undefined;

/** The caller's own quotas. */
export function ownQuota(client?: string): QuotaClient {
  if (clientHeader === undefined || client === undefined) return new QuotaClient({ baseUrl });
  const headers = { [clientHeader]: bytesOf(client) };
  return new QuotaClient({ baseUrl, headers: () => headers });
}

/** Everybody's. */
export function operatorQuota(token: string): QuotaClient {
  const headers = { Authorization: `Bearer ${token}` };
  return new QuotaClient({ baseUrl, headers: () => headers });
}

/** A header holds bytes: the id's in UTF-8, each as a character. */
function bytesOf(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}
