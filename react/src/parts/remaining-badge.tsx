import type { ReactNode } from "react";

import { standingOf } from "../format/level.js";
import { useStatus } from "../hooks/use-status.js";
import { useView, type ViewProps } from "../view/view.js";
import { leftOf, LevelTag } from "./meter.js";
import { wordsOf } from "./notice.js";

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
  const lowest = status?.quotas.find((quota) => quota.name === status.lowest);
  const standing = lowest && standingOf(lowest);
  const trouble = error && wordsOf(error, labels);
  return (
    <span className={`quota quota-badge quota-${standing?.level ?? "unlimited"}`} data-stale={error !== undefined} title={trouble}>
      {trouble && <Sign sign="⚠" words={trouble} />}
      {status === undefined && !error && <Sign sign="…" words={labels.loading} />}
      {status && !lowest && labels.unlimited}
      {lowest && standing && (
        <>
          <LevelTag level={standing.level} labels={labels} />
          <strong className="quota-number">{leftOf(standing, view)}</strong>
          <span className="quota-faint">{labels.ofPeriod(formats.period(lowest.name))}</span>
        </>
      )}
    </span>
  );
}

/** What stands for words that only screen readers find. */
function Sign({ sign, words }: { sign: string; words: string }): ReactNode {
  return (
    <span>
      <span aria-hidden="true">{sign}</span>
      <span className="quota-hidden">{words}</span>
    </span>
  );
}
