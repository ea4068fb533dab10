import type { ReactNode } from "react";

import type { QuotaError } from "../client/error.js";
import { isWorthRetrying } from "../hooks/poll.js";
import type { Labels } from "../labels/labels.js";

/** What is wrong, in words. */
export function wordsOf(error: QuotaError, labels: Labels): string {
  const detail = error.problem?.detail ?? error.message;
  const words: Record<QuotaError["kind"], string> = {
    unreachable: labels.unreachable,
    unauthorized: labels.unauthorized,
    forbidden: labels.forbidden,
    // What the server refuses, it does with a document.
    refused: error.problem ? labels.refused(detail) : labels.cannotBeAskedFor,
    unavailable: labels.unavailable,
    malformed: labels.malformed,
    cancelled: labels.unreachable,
  };
  return words[error.kind];
}

interface NoticeProps {
  tone: "error" | "near" | "plain" | "done";
  /** Whether it is not read out by itself: what changes with every answer would never be silent. */
  isQuiet?: boolean;
  children: ReactNode;
}

/** A sentence about the section that it stands in. */
export function Notice({ tone, isQuiet = tone === "plain", children }: NoticeProps): ReactNode {
  return (
    <div className={`quota-notice quota-notice-${tone}`} role={isQuiet ? undefined : "status"}>
      {tone === "error" && <span aria-hidden="true">⚠ </span>}
      {tone === "done" && <span aria-hidden="true">✓ </span>}
      {children}
    </div>
  );
}

interface ErrorNoticeProps {
  error: QuotaError;
  labels: Labels;
  /** When what is still shown was true. */
  staleSince?: string | undefined;
  onRetry?: (() => void) | undefined;
}

/** Why something is not there, or no longer up to date; it goes when the next call is answered. */
export function ErrorNotice({ error, labels, staleSince, onRetry }: ErrorNoticeProps): ReactNode {
  return (
    <Notice tone="error">
      {wordsOf(error, labels)} {onRetry && isWorthRetrying(error) && `${labels.goesOnByItself} `}
      {staleSince !== undefined && `${labels.stale(staleSince)} `}
      {onRetry && (
        <button type="button" className="quota-link" onClick={onRetry}>
          {labels.tryAgain}
        </button>
      )}
    </Notice>
  );
}
