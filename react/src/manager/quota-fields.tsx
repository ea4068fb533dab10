import { type ReactNode, useId } from "react";

import type { PeriodUnit } from "../labels/labels.js";
import { type Draft, type DraftFault, MOST_CREDITS, PERIODS } from "./draft.js";
import type { ManagerView } from "./manager-view.js";

interface QuotaFieldsProps {
  view: ManagerView;
  draft: Draft;
  number: number;
  zones: string;
  fault: DraftFault | undefined;
  onChange: (draft: Draft) => void;
  onRemove: () => void;
}

/** One quota of a plan, to be changed. */
export function QuotaFields({ view, draft, number, zones, fault, onChange, onRemove }: QuotaFieldsProps): ReactNode {
  const id = useId();
  const { labels, formats } = view;
  const change = (change: Partial<Draft>) => onChange({ ...draft, ...change });
  const faulty = (...faults: DraftFault[]) =>
    fault !== undefined && faults.includes(fault) ? { "aria-invalid": true, "aria-describedby": id } : {};
  const words: Record<DraftFault, string> = {
    every: labels.everyIsWrong, limit: labels.limitIsWrong,
    large: labels.limitIsTooLarge(formats.amount(MOST_CREDITS)), anchor: labels.anchorIsWrong, tz: labels.zoneIsWrong,
    twice: labels.sameTwice,
  };
  return (
    <fieldset className="quota-fields">
      <legend>{labels.quotaNumber(formats.count(number))}</legend>
      <label className="quota-field quota-short">
        {labels.every}
        <input inputMode="numeric" value={draft.every} {...faulty("every", "twice")} onChange={(event) => change({ every: event.target.value })} />
      </label>
      <label className="quota-field">
        {labels.unit}
        <select value={draft.period} {...faulty("twice")} onChange={(event) => change({ period: event.target.value as Draft["period"] })}>
          {PERIODS.map((period) => (
            <option key={period} value={period}>
              {labels.unitName(period.toLowerCase() as PeriodUnit)}
            </option>
          ))}
        </select>
      </label>
      <label className="quota-field quota-middle">
        {labels.limitField}
        <input inputMode="decimal" value={draft.limit} disabled={draft.isUnlimited} {...faulty("limit", "large")} onChange={(event) => change({ limit: event.target.value })} />
      </label>
      <label className="quota-check">
        <input type="checkbox" checked={draft.isUnlimited} onChange={(event) => change({ isUnlimited: event.target.checked })} />
        {labels.unlimitedField}
      </label>
      <label className="quota-field">
        {labels.anchor}
        <input type="datetime-local" step={1} value={draft.anchor} title={labels.anchorHint} {...faulty("anchor")} onChange={(event) => change({ anchor: event.target.value })} />
      </label>
      <label className="quota-field quota-long">
        {labels.zone}
        <input list={zones} value={draft.tz} {...faulty("tz")} onChange={(event) => change({ tz: event.target.value })} />
      </label>
      <button type="button" className="quota-button" aria-label={labels.removeQuota(formats.count(number))} onClick={onRemove}>
        <span aria-hidden="true">✕</span>
      </button>
      {fault && (
        <p id={id} className="quota-fault" role="alert">
          {words[fault]}
        </p>
      )}
    </fieldset>
  );
}
