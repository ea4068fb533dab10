import { type ReactNode, useId } from "react";

import { type DaysFault, LAST_DAY } from "../time/day.js";
import type { View } from "../view/view.js";

interface DayFieldsProps {
  view: View;
  from: string;
  until: string;
  fault: DaysFault | undefined;
  isOff?: boolean;
  onDays: (from: string, until: string) => void;
}

/** The first and the last of some days, and what is wrong with them. */
export function DayFields({ view: { labels }, from, until, fault, isOff = false, onDays }: DayFieldsProps): ReactNode {
  const id = useId();
  const words: Record<DaysFault, string> = {
    from: labels.dayIsMissing(labels.from), until: labels.dayIsMissing(labels.until), late: labels.dayIsTooLate,
    order: labels.rangeEndsBeforeItBegins, length: labels.rangeIsTooLong,
  };
  const field = (label: string, day: string, isWrong: boolean, change: (day: string) => void) => (
    <label className="quota-field">
      {label}
      <input
        type="date"
        max={LAST_DAY}
        value={day}
        disabled={isOff}
        aria-invalid={isWrong}
        aria-describedby={isWrong ? id : undefined}
        onChange={(event) => change(event.target.value)}
      />
    </label>
  );
  return (
    <>
      {field(labels.from, from, fault !== undefined && fault !== "until", (day) => onDays(day, until))}
      {field(labels.until, until, fault !== undefined && fault !== "from", (day) => onDays(from, day))}
      {fault && (
        <span id={id} className="quota-fault" role="alert">
          {words[fault]}
        </span>
      )}
    </>
  );
}
