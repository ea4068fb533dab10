import { type KeyboardEvent, type ReactNode, useState } from "react";

import type { Amount } from "../client/amount.js";
import type { View } from "../view/view.js";
import { type Bar, type Bars, mostOf } from "./bar.js";
import { lengthNote, nameOfBar, wordsOfBar } from "./bar-words.js";
import { scaleOf } from "./scale.js";

const HEIGHT = 180;
const NAMES = 8;
/** A limit is drawn where the bars stay visible beside it. */
const REACH = 5n;

interface PlotProps {
  view: View;
  bars: Bars;
  zone: string;
  limit: Amount | undefined;
  label: string;
}

/** Bars, a day or a month each. The arrow keys choose one, and its words are read out. */
export function Plot({ view, bars: { bars, unit }, zone, limit, label }: PlotProps): ReactNode {
  const [at, setAt] = useState<number>();
  const chosen = Math.min(at ?? bars.length - 1, bars.length - 1);
  const most = mostOf(bars);
  const isLimitDrawn = limit !== undefined && limit.millionths <= most.millionths * REACH;
  const scale = scaleOf(isLimitDrawn && limit.exceeds(most) ? limit : most);
  const heightOf = (amount: Amount) => (amount.partOf(scale.top) * HEIGHT) / 10_000;
  const bar = bars[chosen];
  return (
    <div className="quota-chart">
      <p className="quota-readout">
        <Readout view={view} bar={bar} unit={unit} zone={zone} />
        <span className="quota-spread" />
        {limit && (
          <span className="quota-limit-key">
            {(isLimitDrawn ? view.labels.dayLimit : view.labels.dayLimitAbove)(view.formats.amount(limit))}
          </span>
        )}
      </p>
      <div className="quota-axis" aria-hidden="true">
        {scale.ticks.toReversed().map((tick) => (
          <span key={tick.toString()}>{view.formats.tick(tick)}</span>
        ))}
      </div>
      <div
        className="quota-plot"
        role="slider"
        tabIndex={0}
        aria-label={`${label}. ${view.labels.chosenBar}`}
        aria-valuemin={0}
        aria-valuemax={Math.max(0, bars.length - 1)}
        aria-valuenow={Math.max(0, chosen)}
        aria-valuetext={bar && wordsOfBar(bar, unit, view)}
        onKeyDown={(event) => moved(event, chosen, bars.length, setAt)}
      >
        <svg width="100%" height={HEIGHT} aria-hidden="true">
          {scale.ticks.map((tick) => (
            <line key={tick.toString()} className="quota-line" x2="100%" y1={HEIGHT - heightOf(tick)} y2={HEIGHT - heightOf(tick)} />
          ))}
          {bars.map((one, index) => (
            <Column key={one.first} index={index} count={bars.length} height={heightOf(one.credits)} isChosen={index === chosen} onChosen={setAt} />
          ))}
          {isLimitDrawn && (
            <line className="quota-limit-line" x2="100%" y1={HEIGHT - heightOf(limit)} y2={HEIGHT - heightOf(limit)} />
          )}
        </svg>
      </div>
      <Names view={view} bars={bars} unit={unit} />
    </div>
  );
}

interface ColumnProps {
  index: number;
  count: number;
  height: number;
  isChosen: boolean;
  onChosen: (index: number) => void;
}

function Column({ index, count, height, isChosen, onChosen }: ColumnProps): ReactNode {
  const width = 100 / count;
  const x = `${index * width + width * 0.12}%`;
  const drawn = height === 0 ? 0 : Math.max(1, height);
  return (
    <g className={isChosen ? "quota-column quota-chosen" : "quota-column"} onPointerEnter={() => onChosen(index)}>
      <rect className="quota-column-back" x={`${index * width}%`} width={`${width}%`} height={HEIGHT} />
      <rect className="quota-column-bar" x={x} width={`${width * 0.76}%`} y={HEIGHT - drawn} height={drawn} />
    </g>
  );
}

function Names({ view, bars, unit }: { view: View; bars: Bar[]; unit: Bars["unit"] }): ReactNode {
  const every = Math.max(1, Math.ceil(bars.length / NAMES));
  return (
    <svg className="quota-names" width="100%" height={20} aria-hidden="true">
      {bars.map((bar, index) => {
        if (index % every !== 0) return null;
        const name = unit === "day" ? view.formats.shortDay(bar.first) : view.formats.shortMonth(bar.first);
        return (
          <text key={bar.first} x={`${((index + 0.5) * 100) / bars.length}%`} y={14}>
            {name}
          </text>
        );
      })}
    </svg>
  );
}

interface ReadoutProps {
  view: View;
  bar: Bar | undefined;
  unit: Bars["unit"];
  zone: string;
}

function Readout({ view, bar, unit, zone }: ReadoutProps): ReactNode {
  if (bar === undefined) return null;
  const note = unit === "day" ? lengthNote(bar.first, zone, view) : undefined;
  return (
    <span aria-hidden="true">
      <span className="quota-faint">{nameOfBar(bar, unit, view)}</span>{" "}
      <strong className="quota-number">{view.formats.amount(bar.credits)}</strong>
      {note && <span className="quota-tag"> {note}</span>}
    </span>
  );
}

function moved(event: KeyboardEvent, from: number, count: number, move: (to: number) => void): void {
  // Those are the browser's own.
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const steps: Record<string, number> = {
    ArrowLeft: from - 1, ArrowDown: from - 1, ArrowRight: from + 1, ArrowUp: from + 1,
    PageDown: from - 7, PageUp: from + 7, Home: 0, End: count - 1,
  };
  const to = steps[event.key];
  if (to === undefined) return;
  event.preventDefault();
  move(Math.min(count - 1, Math.max(0, to)));
}
