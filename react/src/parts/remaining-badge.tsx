import type { ReactNode } from "react";

import { standingOf } from "../format/level";
import { useStatus } from "../hooks/use-status";
import { useView, type ViewProps } from "../view/view";
import { leftOf, LevelTag } from "./meter";
import { wordsOf } from "./notice";

export interface RemainingBadgeProps extends ViewProps {
  /** Whose, for operators; by default the caller's. */
  client?: string | undefined;
  /** Milliseconds between an answer and the next call; 0 asks once. */
  every?: number | undefined;
}

/** What is left of the quota with the fewest remaining, for a header bar. */
export function RemainingBadge({ client, every, ...props }: RemainingBadgeProps): ReactNode {
  const view = useView(props);
  const { labels, formats } = view;
  const { status, error } = useStatus({ quota: view.quota, client, every });
  if (status === undefined) {
    const words = error ? wordsOf(error, labels) : labels.loading;
    return (
      <span className="quota quota-badge" role="img" aria-label={words} title={words}>
        {error ? "—" : "…"}
      </span>
    );
  }
  const lowest = status.quotas.find((quota) => quota.name === status.lowest);
  if (lowest === undefined) return <span className="quota quota-badge">{labels.unlimited}</span>;
  const standing = standingOf(lowest);
  const title = error ? wordsOf(error, labels) : undefined;
  return (
    <span className={`quota quota-badge quota-${standing.level}`} data-stale={error !== undefined} title={title}>
      <LevelTag level={standing.level} labels={labels} />
      <strong className="quota-number">{leftOf(standing, view)}</strong>
      <span className="quota-faint">{labels.ofPeriod(formats.period(lowest.name))}</span>
    </span>
  );
}
