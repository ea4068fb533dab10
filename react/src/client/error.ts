import type { Problem } from "./wire.js";

/**
 * Why there is no answer:
 * - `unreachable`: no connection, or no answer in time;
 * - `unauthorized`: nobody is named, or not by the right credentials (401);
 * - `forbidden`: not for this caller, or the client has no plan (403);
 * - `refused`: the request is wrong in itself (the other 4xx, with a problem document; without one it was not even sent);
 * - `unavailable`: the server cannot answer now (408, 425, 429, 5xx);
 * - `malformed`: an answer that the API's description does not allow, such as the page of a proxy, whatever its status;
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
    return new QuotaError(kindOf(status, details.problem), message, { ...details, status });
  }

  /** Any thrown value as one of these. */
  static of(thrown: unknown): QuotaError {
    return thrown instanceof QuotaError ? thrown : new QuotaError("unreachable", String(thrown), { cause: thrown });
  }
}

/** Of which the client may try again later. */
const LATER = [408, 425, 429];

function kindOf(status: number, problem: Problem | undefined): QuotaErrorKind {
  if (status === 401) return "unauthorized";
  if (status === 403) return "forbidden";
  if (LATER.includes(status) || status >= 500) return "unavailable";
  // The usage API always says why: another 4xx is somebody else's, such as a proxy's while the application restarts.
  return status >= 400 && problem !== undefined ? "refused" : "malformed";
}
