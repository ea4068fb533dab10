import { type ReactNode, useEffect, useState } from "react";

import type { QuotaState, Status } from "../client/wire.js";
import { standingOf } from "../format/level.js";
import { useStatus } from "../hooks/use-status.js";
import { useView, type View, type ViewProps } from "../view/view.js";
import { Meter } from "./meter.js";
import { Notice } from "./notice.js";
import { Section } from "./section.js";

const FEW = 8;

export interface QuotaStatusProps extends ViewProps {
  /** Whose, for operators; by default the caller's. */
  client?: string | undefined;
  /** Milliseconds between an answer and the next call; 0 asks once. */
  every?: number | undefined;
  /** In place of the words for an error. */
  instead?: ReactNode;
}

/** A meter for each quota: used, held and left, the limit, and when it renews. */
export function QuotaStatus({ client, every, instead, ...props }: QuotaStatusProps): ReactNode {
  const view = useView(props);
  const { status, ...state } = useStatus({ quota: view.quota, client, every });
  useSeconds(status !== undefined);
  return (
    <Section title={view.labels.quotas} view={view} state={state} hasData={status !== undefined} instead={instead}>
      {status && <Meters status={status} view={view} />}
    </Section>
  );
}

/** The meters of a status that is at hand. */
export function Meters({ status, view }: { status: Status; view: View }): ReactNode {
  const [showsAll, setShowsAll] = useState(false);
  const { labels, formats } = view;
  const count = status.quotas.length;
  if (count === 0) return <Notice tone="plain">{labels.noQuotas}</Notice>;
  const few = fewOf(status);
  const hasMore = count > few.length + 1;
  const shown = showsAll || !hasMore ? status.quotas : few;
  return (
    <>
      <ul className="quota-meters">
        {shown.map((quota, index) => (
          <Meter key={`${index} ${quota.name}`} quota={quota} view={view} />
        ))}
      </ul>
      {hasMore && (
        <button type="button" className="quota-link" aria-expanded={showsAll} onClick={() => setShowsAll(!showsAll)}>
          {showsAll ? labels.showFewer : labels.showAll(formats.count(count))}
        </button>
      )}
    </>
  );
}

/** In the plan's order: the lowest, all that are nearly used up or worse, and the first of the others while there is room. */
function fewOf({ quotas, lowest }: Status): QuotaState[] {
  const isCalm = (quota: QuotaState) => quota.name !== lowest && ["ok", "unlimited"].includes(standingOf(quota).level);
  let room = FEW - quotas.filter((quota) => !isCalm(quota)).length;
  return quotas.filter((quota) => !isCalm(quota) || room-- > 0);
}

/** Shows the component again each second, so that "renews in" stays true. */
function useSeconds(isNeeded: boolean): void {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!isNeeded) return;
    const timer = setInterval(() => !document.hidden && tick((count) => count + 1), 1000);
    return () => clearInterval(timer);
  }, [isNeeded]);
}
