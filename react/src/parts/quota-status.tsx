import { type ReactNode, useEffect, useState } from "react";

import type { Status } from "../client/wire";
import { useStatus } from "../hooks/use-status";
import { useView, type View, type ViewProps } from "../view/view";
import { Meter } from "./meter";
import { Notice } from "./notice";
import { Section } from "./section";

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
  const shown = showsAll || count <= FEW + 1 ? status.quotas : status.quotas.slice(0, FEW);
  return (
    <>
      <ul className="quota-meters">
        {shown.map((quota, index) => (
          <Meter key={`${index} ${quota.name}`} quota={quota} view={view} />
        ))}
      </ul>
      {count > FEW + 1 && (
        <button type="button" className="quota-link" aria-expanded={showsAll} onClick={() => setShowsAll(!showsAll)}>
          {showsAll ? labels.showFewer : labels.showAll(formats.count(count))}
        </button>
      )}
    </>
  );
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
