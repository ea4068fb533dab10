import type { ReactNode } from "react";

import { DayFields } from "../parts/day-fields.js";
import type { DaysFault } from "../time/day.js";
import { knownZones, ownZone } from "../time/zone.js";
import { useIsHere } from "../view/here.js";
import type { View } from "../view/view.js";
import type { Range } from "./range.js";

const LAST = [7, 30, 90];

interface RangePickerProps {
  view: View;
  range: Range;
  /** The first and the last day that are shown now, to begin another range with. */
  shown: { from: string; until: string };
  fault: DaysFault | undefined;
  onRange: (range: Range) => void;
}

/** Which days are shown. */
export function RangePicker({ view, range, shown, fault, onRange }: RangePickerProps): ReactNode {
  const { labels } = view;
  const choices: [string, Range, boolean][] = [
    ...LAST.map((days): [string, Range, boolean] => [
      labels.lastDays(days), { kind: "last", days }, range.kind === "last" && range.days === days,
    ]),
    [labels.thisMonth, { kind: "thisMonth" }, range.kind === "thisMonth"],
    [labels.lastMonth, { kind: "lastMonth" }, range.kind === "lastMonth"],
    [labels.ownRange, { kind: "own", ...shown }, range.kind === "own"],
  ];
  return (
    <>
      <div className="quota-choices" role="group" aria-label={labels.range}>
        {choices.map(([label, choice, isChosen]) => (
          <button key={label} type="button" className="quota-button" aria-pressed={isChosen} onClick={() => onRange(choice)}>
            {label}
          </button>
        ))}
      </div>
      {range.kind === "own" && (
        <div className="quota-choices">
          <DayFields view={view} from={range.from} until={range.until} fault={fault} onDays={(from, until) => onRange({ kind: "own", from, until })} />
        </div>
      )}
    </>
  );
}

interface ZonePickerProps {
  view: View;
  zone: string;
  onZone: (zone: string) => void;
}

/** Whose calendar cuts the days. */
export function ZonePicker({ view: { labels }, zone, onZone }: ZonePickerProps): ReactNode {
  const isHere = useIsHere();
  const nearby = [...new Set([zone, "UTC", ...(isHere ? [ownZone()] : [])])];
  const others = isHere ? knownZones().filter((name) => !nearby.includes(name)) : [];
  const option = (name: string) => (
    <option key={name} value={name}>
      {name.replaceAll("_", " ")}
    </option>
  );
  return (
    <label className="quota-field">
      {labels.zone}
      <select value={zone} onChange={(event) => onZone(event.target.value)}>
        <optgroup label={labels.yourZone}>{nearby.map(option)}</optgroup>
        <optgroup label={labels.otherZones}>{others.map(option)}</optgroup>
      </select>
    </label>
  );
}
