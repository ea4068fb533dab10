import { type ReactNode, useId } from "react";

import type { View } from "../view/view";
import { knownZones, ownZone } from "../time/zone";
import type { Range, RangeFault } from "./range";

const LAST = [7, 30, 90];

interface RangePickerProps {
  view: View;
  range: Range;
  /** The first and the last day that are shown now, to begin another range with. */
  shown: { from: string; until: string };
  fault: RangeFault | undefined;
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
      {range.kind === "own" && <OwnRange view={view} range={range} fault={fault} onRange={onRange} />}
    </>
  );
}

interface OwnRangeProps extends Omit<RangePickerProps, "shown"> {
  range: Extract<Range, { kind: "own" }>;
}

function OwnRange({ view: { labels }, range, fault, onRange }: OwnRangeProps): ReactNode {
  const id = useId();
  const words = { order: labels.rangeEndsBeforeItBegins, length: labels.rangeIsTooLong, day: undefined };
  const field = (label: string, name: "from" | "until") => (
    <label className="quota-field">
      {label}
      <input
        type="date"
        value={range[name]}
        aria-invalid={fault !== undefined}
        aria-describedby={fault && id}
        onChange={(event) => onRange({ ...range, [name]: event.target.value })}
      />
    </label>
  );
  return (
    <div className="quota-choices">
      {field(labels.from, "from")}
      {field(labels.until, "until")}
      {fault && words[fault] && (
        <span id={id} className="quota-fault" role="alert">
          {words[fault]}
        </span>
      )}
    </div>
  );
}

interface ZonePickerProps {
  view: View;
  zone: string;
  onZone: (zone: string) => void;
}

/** Whose calendar cuts the days. */
export function ZonePicker({ view: { labels }, zone, onZone }: ZonePickerProps): ReactNode {
  const nearby = [...new Set([zone, "UTC", ownZone()])];
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
        <optgroup label={labels.otherZones}>{knownZones().filter((name) => !nearby.includes(name)).map(option)}</optgroup>
      </select>
    </label>
  );
}
