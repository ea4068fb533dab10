import type { ReactNode } from "react";

import { Amount } from "../client/amount.js";
import type { Denial } from "../client/wire.js";
import { standingOf } from "../format/level.js";
import { usePoll } from "../hooks/polls.js";
import { leftOf } from "../parts/meter.js";
import { Notice } from "../parts/notice.js";
import { Section } from "../parts/section.js";
import type { ManagerView } from "./manager-view.js";

const EVERY = 15_000;

interface DenialListProps {
  view: ManagerView;
  client: string;
}

/** Why a client was refused last: what it asked for, and which quotas were short. */
export function DenialList({ view, client }: DenialListProps): ReactNode {
  const { quota, labels } = view;
  const load = (signal: AbortSignal) => quota.denials(client, signal);
  const { data, ...state } = usePoll(quota, { words: ["denials"], client, every: EVERY, load });
  const isNotKept = state.error?.kind === "refused" && state.error.status === 404;
  const notKept = isNotKept && <Notice tone="plain">{labels.denialsNotKept}</Notice>;
  return (
    <Section title={labels.denials} view={view} state={state} hasData={data !== undefined} instead={notKept}>
      {data && <Rows view={view} denials={data.denials} />}
    </Section>
  );
}

function Rows({ view, denials }: { view: ManagerView; denials: Denial[] }): ReactNode {
  const { labels, formats } = view;
  if (denials.length === 0) return <Notice tone="plain">{labels.noDenials}</Notice>;
  return (
    <>
      <div className="quota-table-frame" tabIndex={0} role="group" aria-label={labels.denials}>
        <table className="quota-table">
          <thead>
            <tr>
              <th scope="col">{labels.at}</th>
              <th scope="col" className="quota-number">{labels.cost}</th>
              <th scope="col">{labels.shortQuotas}</th>
              <th scope="col">{labels.retryAt}</th>
            </tr>
          </thead>
          <tbody>
            {denials.map((denial, index) => (
              <tr key={`${index} ${denial.at}`}>
                <th scope="row">{formats.instant(denial.at)}</th>
                <td className="quota-number">{formats.amount(Amount.parse(denial.required) ?? Amount.ZERO)}</td>
                <td>{denial.violated.map((name) => shortOf(denial, name, view)).join(", ")}</td>
                <td>{denial.retry_at === null ? labels.never : formats.instant(denial.retry_at)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <p className="quota-faint">{labels.denialsHint}</p>
    </>
  );
}

function shortOf({ quotas }: Denial, name: string, view: ManagerView): string {
  const { formats } = view;
  const quota = quotas.find((one) => one.name === name);
  return quota === undefined ? name : `${formats.period(name)} (${leftOf(standingOf(quota), view)})`;
}
