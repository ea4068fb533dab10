import { QuotaClient, type QuotaClientOptions } from "../src/client";

type Answer = Response | Promise<Response>;
type Handler = (request: Request) => Answer;

/** A usage API in memory: each request is answered by the handler for its method and path. */
export class FakeServer {
  readonly requests: Request[] = [];
  private readonly handlers = new Map<string, Handler>();

  on(request: string, handler: Handler): this {
    this.handlers.set(request, handler);
    return this;
  }

  /** Answers with this JSON. */
  json(request: string, body: unknown): this {
    return this.on(request, () => json(body));
  }

  problem(request: string, status: number, detail: string, headers: Record<string, string> = {}): this {
    return this.on(request, () => problem(status, detail, headers));
  }

  readonly fetch = async (address: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const request = new Request(address, { ...init, signal: null });
    this.requests.push(request);
    const path = request.url.slice("http://server/quota/".length).split("?")[0];
    const handler = this.handlers.get(`${request.method} ${path}`);
    const answer = await (handler?.(request) ?? problem(404, `there is no ${path}`));
    if (init?.signal?.aborted) throw new DOMException("aborted", "AbortError");
    return answer;
  };

  client(options: Partial<QuotaClientOptions> = {}): QuotaClient {
    return new QuotaClient({ baseUrl: "http://server/quota", fetch: this.fetch as typeof fetch, ...options });
  }

  /** The requests for a path, the query included. */
  asked(path: string): string[] {
    const asked = this.requests.map((request) => `${request.method} ${request.url.slice("http://server/quota/".length)}`);
    return asked.filter((one) => one.includes(path));
  }
}

export function json(body: unknown): Response {
  return new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" } });
}

export function problem(status: number, detail: string, headers: Record<string, string> = {}): Response {
  const body = JSON.stringify({ type: "about:blank", title: "No", status, detail });
  return new Response(body, { status, headers: { "Content-Type": "application/problem+json", ...headers } });
}
