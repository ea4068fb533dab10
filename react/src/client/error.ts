import type { Problem } from "./wire";

/**
 * Why there is no answer:
 * - `unreachable`: no connection, or no answer in time;
 * - `unauthorized`: nobody is named, or not by the right credentials (401);
 * - `forbidden`: not for this caller, or the client has no plan (403);
 * - `refused`: the request is wrong in itself (the other 4xx);
 * - `unavailable`: the server cannot answer now (429, 5xx);
 * - `malformed`: an answer that the API's description does not allow, such as the page of a proxy;
 * - `cancelled`: whoever asked has lost interest.
 */
export type QuotaErrorKind =
  | "unreachable"
  | "unauthorized"
  | "forbidden"
  | "refused"
  | "unavailable"
  | "malformed"
  | "cancelled";

interface QuotaErrorDetails {
  status?: number;
  problem?: Problem;
  /** Seconds that the server asks to wait. */
  retryAfter?: number;
  cause?: unknown;
}

/** A call of the usage API that was not answered, and why. */
export class QuotaError extends Error {
  override readonly name = "QuotaError";
  readonly kind: QuotaErrorKind;
  readonly status?: number;
  /** The problem document (RFC 9457), where the server sent one. */
  readonly problem?: Problem;
  readonly retryAfter?: number;

  constructor(kind: QuotaErrorKind, message: string, details: QuotaErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.kind = kind;
    if (details.status !== undefined) this.status = details.status;
    if (details.problem !== undefined) this.problem = details.problem;
    if (details.retryAfter !== undefined) this.retryAfter = details.retryAfter;
  }

  static ofStatus(status: number, details: QuotaErrorDetails): QuotaError {
    const message = details.problem?.detail ?? `status ${status}`;
    return new QuotaError(kindOf(status), message, { ...details, status });
  }

  /** Any thrown value as one of these. */
  static of(thrown: unknown): QuotaError {
    return thrown instanceof QuotaError ? thrown : new QuotaError("unreachable", String(thrown), { cause: thrown });
  }
}

function kindOf(status: number): QuotaErrorKind {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (status === 429 || status >= 500) return "unavailable";
  return status >= 400 ? "refused" : "malformed";
}
