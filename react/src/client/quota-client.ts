import { ServerClock } from "./clock.js";
import { QuotaError } from "./error.js";
import type { Reader } from "./reader.js";
import {
  Mismatch, readClients, readDeleted, readDenials, readEntries, readHealth, readPlan, readPreview, readProblem,
  readStatus, readUsage,
} from "./reader.js";
import type {
  Clients, ClientsQuery, Deleted, DeletionQuery, Denials, Entries, EntriesQuery, Health, Plan, Preview, Status, Usage,
  UsageQuery,
} from "./wire.js";
import { LONGEST_TIMER, millisOf } from "../time/instant.js";

export interface QuotaClientOptions {
  /** Where the usage API is mounted, such as `/quota` or `https://api.example.com/quota`. */
  baseUrl: string;
  /** The headers that prove who asks. Called for every request, so that a token can be renewed. */
  headers?: () => HeadersInit | Promise<HeadersInit>;
  /** Whether cookies are sent; by default only to the page's own origin. */
  credentials?: RequestCredentials;
  /** In milliseconds, from asking for the headers until the answer is read; 30 seconds by default. */
  timeout?: number;
  fetch?: typeof globalThis.fetch;
}

interface Call {
  /** Whose resource, for operators; none is the caller's, or nobody's. */
  client?: string | undefined;
  path: string;
  method?: string;
  query?: Record<string, string | number | undefined>;
  body?: unknown;
  accept?: string;
  signal?: AbortSignal | undefined;
}

/**
 * The usage API, typed. Amounts are the wire's decimal strings: read them with `Amount`. Everything rejects with a
 * `QuotaError`.
 *
 * Where a call takes a client, it is an operator's; without one it is the caller's own.
 */
export class QuotaClient {
  /** The present as the server tells it. */
  readonly clock = new ServerClock();
  private readonly base: string;

  constructor(private readonly options: QuotaClientOptions) {
    this.base = options.baseUrl.replace(/\/*$/, "/");
  }

  async status(client?: string, signal?: AbortSignal): Promise<Status> {
    const status = await this.json({ client, path: "status", signal }, readStatus);
    this.clock.tell(millisOf(status.at) ?? Date.now());
    return status;
  }

  usage(query: UsageQuery = {}, client?: string, signal?: AbortSignal): Promise<Usage> {
    return this.json({ client, path: "usage", query, signal }, readUsage);
  }

  /** The usage as a table for spreadsheets (RFC 4180), in which no cell is a formula. */
  usageTable(query: UsageQuery = {}, client?: string, signal?: AbortSignal): Promise<string> {
    return this.call({ client, path: "usage", query, accept: "text/csv", signal }, (response) => {
      if (!isOfType(response, "text/csv")) throw malformed(response);
      return response.text();
    });
  }

  clients(query: ClientsQuery = {}, signal?: AbortSignal): Promise<Clients> {
    return this.json({ path: "clients", query, signal }, readClients);
  }

  plan(client: string, signal?: AbortSignal): Promise<Plan> {
    return this.json({ client, path: "plan", signal }, readPlan);
  }

  setPlan(client: string, plan: Plan, signal?: AbortSignal): Promise<Status> {
    return this.json({ client, path: "plan", method: "PUT", body: plan, signal }, readStatus);
  }

  removePlan(client: string, signal?: AbortSignal): Promise<void> {
    return this.call({ client, path: "plan", method: "DELETE", signal }, () => undefined);
  }

  /** When the quotas of a plan would renew, and where the client would stand. Changes nothing. */
  previewPlan(client: string, plan: Plan, signal?: AbortSignal): Promise<Preview> {
    return this.json({ client, path: "plan/preview", method: "POST", body: plan, signal }, readPreview);
  }

  entries(client: string, query: EntriesQuery = {}, signal?: AbortSignal): Promise<Entries> {
    return this.json({ client, path: "entries", query, signal }, readEntries);
  }

  /** Between two instants, or everything by `{ all: "true" }`. */
  deleteUsage(client: string, query: DeletionQuery, signal?: AbortSignal): Promise<Deleted> {
    return this.json({ client, path: "usage", method: "DELETE", query, signal }, readDeleted);
  }

  denials(client: string, signal?: AbortSignal): Promise<Denials> {
    return this.json({ client, path: "denials", signal }, readDenials);
  }

  health(signal?: AbortSignal): Promise<Health> {
    return this.json({ path: "health", signal }, readHealth);
  }

  private json<T>(call: Call, reader: Reader<T>): Promise<T> {
    return this.call(call, async (response) => {
      const text = await response.text();
      try {
        return reader(JSON.parse(text));
      } catch (error) {
        if (error instanceof Mismatch || error instanceof SyntaxError) throw malformed(response, error);
        throw error;
      }
    });
  }

  /** What is taken out of an answer of 2xx; anything else is thrown. */
  private call<T>(call: Call, take: (response: Response) => T | Promise<T>): Promise<T> {
    return inTime(this.options.timeout ?? 30_000, call.signal, async (ended) => take(await this.send(call, ended)));
  }

  private async send({ client, path, method = "GET", query = {}, body, accept }: Call, signal: AbortSignal): Promise<Response> {
    const members = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, `${value}`]]));
    const search = new URLSearchParams(members).toString();
    const address = `${this.base}${of(client, path)}${search && `?${search}`}`;
    const headers = await this.headers(accept);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    const request: RequestInit = {
      method, headers, credentials: this.options.credentials ?? "same-origin", cache: "no-store", signal,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    };
    // Whoever is late with the headers has nobody who waits for an answer.
    signal.throwIfAborted();
    const send = this.options.fetch ?? globalThis.fetch;
    const response = await send(address, request);
    const told = Date.parse(response.headers.get("Date") ?? "");
    if (!Number.isNaN(told)) this.clock.tellRoughly(told);
    if (!response.ok) throw await refusal(response, this.clock.now());
    return response;
  }

  private async headers(accept = "application/json"): Promise<Headers> {
    try {
      const headers = new Headers(await this.options.headers?.());
      headers.set("Accept", accept);
      return headers;
    } catch (cause) {
      throw new QuotaError("unauthorized", "no credentials could be had", { cause });
    }
  }
}

/** A resource of a client, or of the caller. A client's id is one percent-encoded segment. */
function of(client: string | undefined, resource: string): string {
  if (client === undefined) return resource;
  // A browser takes these for steps in the path, however they are encoded.
  if (client === "." || client === "..") {
    throw new QuotaError("refused", `a browser cannot ask for the client ${JSON.stringify(client)}`);
  }
  return `clients/${encodeURIComponent(client.toWellFormed?.() ?? client)}/${resource}`;
}

/**
 * What an act gives, unless it takes too long or nobody waits for it any more: both end its signal, and what does not heed
 * that is no longer waited for. Whatever goes wrong is a `QuotaError`.
 */
async function inTime<T>(
  timeout: number,
  signal: AbortSignal | undefined,
  act: (ended: AbortSignal) => Promise<T>,
): Promise<T> {
  const end = new AbortController();
  const stop = () => end.abort();
  const timer = setTimeout(stop, Math.min(timeout, LONGEST_TIMER));
  signal?.addEventListener("abort", stop);
  try {
    signal?.throwIfAborted();
    const ended = new Promise<never>((_, reject) => end.signal.addEventListener("abort", () => reject(end.signal.reason)));
    return await Promise.race([act(end.signal), ended]);
  } catch (cause) {
    if (signal?.aborted) throw new QuotaError("cancelled", "nobody waits for the answer", { cause });
    if (cause instanceof QuotaError) throw cause;
    throw new QuotaError("unreachable", "the usage API cannot be reached", { cause });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop);
  }
}

async function refusal(response: Response, now: number): Promise<QuotaError> {
  const details = retryAfter(response.headers.get("Retry-After") ?? "", now);
  let problem;
  try {
    problem = readProblem(JSON.parse(await response.text()));
  } catch {
    return QuotaError.ofStatus(response.status, details);
  }
  return QuotaError.ofStatus(response.status, { ...details, problem });
}

const HTTP_DATE = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/;

/** Seconds, or an instant (RFC 9110, 10.2.3). */
function retryAfter(text: string, now: number): { retryAfter?: number } {
  if (/^\d{1,9}$/.test(text)) return { retryAfter: Number(text) };
  const until = HTTP_DATE.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(until) ? {} : { retryAfter: Math.max(0, Math.ceil((until - now) / 1000)) };
}

function isOfType(response: Response, type: string): boolean {
  return (response.headers.get("Content-Type") ?? "").split(";")[0]?.trim().toLowerCase() === type;
}

function malformed(response: Response, cause?: unknown): QuotaError {
  return new QuotaError("malformed", "the answer is not one of the usage API", { status: response.status, cause });
}
