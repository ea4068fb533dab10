import type { ReactNode } from "react";

import type { Preview, Status } from "../client/wire.js";
import { standingOf } from "../format/level.js";
import { leftOf, LevelTag } from "../parts/meter.js";
import { Notice } from "../parts/notice.js";
import type { ManagerView } from "./manager-view.js";

interface PlanPreviewProps {
  view: ManagerView;
  preview: Preview;
  /** Where the client stands now. */
  status: Status | undefined;
}

/** What a plan would do: what would be left now, and when each quota would renew. */
export function PlanPreview({ view, preview, status }: PlanPreviewProps): ReactNode {
  const { labels, formats } = view;
  const names = [...new Set([...(status?.quotas ?? []), ...preview.status.quotas].map(({ name }) => name))];
  const left = (of: Status | undefined, name: string) => {
    const quota = of?.quotas.find((one) => one.name === name);
    return quota === undefined ? undefined : standingOf(quota);
  };
  return (
    <div className="quota-preview" role="region" aria-label={labels.previewOf}>
      <h3>{labels.previewOf}</h3>
      {preview.status.quotas.length === 0 && <Notice tone="near">{labels.noQuotas}</Notice>}
      <table className="quota-table">
        <thead>
          <tr>
            <th scope="col">{labels.quotaColumn}</th>
            <th scope="col" className="quota-number">{labels.leftNow}</th>
            <th scope="col" className="quota-number">{labels.leftThen}</th>
            <th scope="col">{labels.nextRenewals}</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => {
            const [now, then] = [left(status, name), left(preview.status, name)];
            const renewals = preview.quotas.find((quota) => quota.name === name)?.renewals ?? [];
            return (
              <tr key={name}>
                <th scope="row"><bdi>{formats.period(name)}</bdi></th>
                <td className="quota-number">{now ? leftOf(now, view) : "—"}</td>
                <td className="quota-number">
                  {then?.level !== "unlimited" && then && <LevelTag level={then.level} labels={labels} />}{" "}
                  <span>{then ? leftOf(then, view) : labels.noLonger}</span>
                </td>
                <td><Renewals view={view} name={name} renewals={renewals} /></td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

interface RenewalsProps {
  view: ManagerView;
  name: string;
  renewals: string[];
}

function Renewals({ view: { formats }, name, renewals }: RenewalsProps): ReactNode {
  const [first, ...others] = renewals;
  if (first === undefined) return "—";
  return (
    <details>
      <summary>{formats.instant(first, name)}</summary>
      <ol>
        {others.map((renewal) => (
          <li key={renewal}>{formats.instant(renewal, name)}</li>
        ))}
      </ol>
    </details>
  );
}
