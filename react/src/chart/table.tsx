import type { ReactNode } from "react";

import type { View } from "../view/view.js";
import type { Bars } from "./bar.js";
import { lengthNote, nameOfBar } from "./bar-words.js";

interface TableProps {
  view: View;
  bars: Bars;
  zone: string;
  total: string;
  label: string;
  /** Whether only screen readers find it. */
  isHidden: boolean;
}

/** What the chart shows, in rows. */
export function Table({ view, bars: { bars, unit }, zone, total, label, isHidden }: TableProps): ReactNode {
  const { labels, formats } = view;
  const entries = bars.reduce((sum, bar) => sum + bar.entries, 0);
  return (
    <div className={isHidden ? "quota-hidden" : "quota-table-frame"} tabIndex={isHidden ? undefined : 0} role="group" aria-label={label}>
      <table className="quota-table">
        <caption className="quota-hidden">{label}</caption>
        <thead>
          <tr>
            <th scope="col">{unit === "day" ? labels.day : labels.month}</th>
            <th scope="col" className="quota-number">{labels.credits}</th>
            <th scope="col" className="quota-number">{labels.entries}</th>
          </tr>
        </thead>
        <tbody>
          {bars.map((bar) => {
            const note = unit === "day" ? lengthNote(bar.first, zone, view) : undefined;
            return (
              <tr key={bar.first} className={bar.credits.isZero ? "quota-faint" : undefined}>
                <th scope="row">
                  {nameOfBar(bar, unit, view)}
                  {note && <span className="quota-tag"> {note}</span>}
                </th>
                <td className="quota-number">{formats.amount(bar.credits)}</td>
                <td className="quota-number">{formats.count(bar.entries)}</td>
              </tr>
            );
          })}
        </tbody>
        <tfoot>
          <tr>
            <th scope="row">{labels.total}</th>
            <td className="quota-number">{total}</td>
            <td className="quota-number">{formats.count(entries)}</td>
          </tr>
        </tfoot>
      </table>
    </div>
  );
}
