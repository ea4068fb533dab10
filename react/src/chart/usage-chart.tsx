import { type ReactNode, useState } from "react";

import { Amount } from "../client/amount.js";
import { QuotaError } from "../client/error.js";
import { UNLIMITED, type Usage } from "../client/wire.js";
import { useStatus } from "../hooks/use-status.js";
import { useUsage } from "../hooks/use-usage.js";
import { ErrorNotice, Notice } from "../parts/notice.js";
import { Section } from "../parts/section.js";
import { dayAt, daysOf, plusDays } from "../time/day.js";
import { isKnownZone, nameOfZone } from "../time/zone.js";
import { useView, type View, type ViewProps } from "../view/view.js";
import { averageOf, barsOf, mostOf } from "./bar.js";
import { saveTable } from "./download.js";
import { Plot } from "./plot.js";
import { daysOfRange, faultOf, type Range, USUAL_DAYS } from "./range.js";
import { RangePicker, ZonePicker } from "./range-picker.js";
import { Table } from "./table.js";

export interface UsageChartProps extends ViewProps {
  /** Whose, for operators; by default the caller's. */
  client?: string | undefined;
  /** Milliseconds between an answer and the next call; 0 asks once. */
  every?: number | undefined;
}

/** Days as bars, the day quota's limit as a line, and the same as a table and as a file. */
export function UsageChart({ client, every, ...props }: UsageChartProps): ReactNode {
  const view = useView(props);
  const { quota, labels } = view;
  const [range, setRange] = useState<Range>({ kind: "last", days: USUAL_DAYS });
  const [chosenZone, setZone] = useState<string>();
  const [refusedZone, setRefusedZone] = useState<string>();
  const zone = chosenZone ?? view.zone;
  const isRefused = zone === refusedZone;
  const tz = isRefused ? "UTC" : nameOfZone(zone);
  const [asked, setAsked] = useState<Range>(range);
  const [isTable, setIsTable] = useState(false);
  const days = daysOfRange(asked, dayAt(quota.clock.now(), isKnownZone(tz) ? tz : "UTC"));
  const query = { ...days, tz };
  const { usage, ...state } = useUsage({ quota, client, every, ...query });
  if (!isRefused && state.error && isUnknownZone(state.error, tz)) setRefusedZone(zone);
  const limit = useDayLimit(view, client, every);
  const choose = (chosen: Range) => {
    setRange(chosen);
    if (faultOf(chosen) === undefined) setAsked(chosen);
  };
  const shown = { from: usage?.from ?? "", until: usage ? plusDays(usage.to, -1) : "" };
  const controls = (
    <div className="quota-controls">
      <RangePicker view={view} range={range} shown={shown} fault={faultOf(range)} onRange={choose} />
      <ZonePicker view={view} zone={zone} onZone={setZone} />
      <span className="quota-spread" />
      <div className="quota-choices">
        <button type="button" className="quota-button" aria-pressed={isTable} onClick={() => setIsTable(!isTable)}>
          {labels.showTable}
        </button>
        <Download view={view} client={client} query={query} usage={usage} />
      </div>
    </div>
  );
  return (
    <Section title={labels.usage} view={view} state={state} hasData={usage !== undefined} controls={controls}>
      {isRefused && zone !== view.unknownZone && <Notice tone="near">{labels.zoneUnknownToServer(zone)}</Notice>}
      {usage && <Shown usage={usage} view={view} limit={limit} isTable={isTable} />}
    </Section>
  );
}

/** Whether it is the zone that the server refuses. */
function isUnknownZone({ kind, status, problem }: QuotaError, tz: string): boolean {
  return kind === "refused" && status === 400 && problem?.detail.startsWith(`tz: ${JSON.stringify(tz)}`) === true;
}

interface ShownProps {
  usage: Usage;
  view: View;
  limit: Amount | undefined;
  isTable: boolean;
}

function Shown({ usage, view, limit, isTable }: ShownProps): ReactNode {
  const { labels, formats } = view;
  const bars = barsOf(usage);
  const sum = Amount.parse(usage.total) ?? Amount.ZERO;
  const total = formats.amount(sum);
  const until = plusDays(usage.to, -1);
  const name = usage.from < usage.to ? `${formats.day(usage.from)} – ${formats.day(until)}` : formats.day(usage.from);
  const label = labels.chartOf(`${name}, ${usage.tz}`, total);
  const entries = bars.bars.reduce((count, bar) => count + bar.entries, 0);
  const facts: [string, string][] = [
    [labels.total, total],
    [labels.perDay, formats.amount(averageOf(sum, daysOf(usage.from, usage.to).length))],
    ...(bars.unit === "day" ? [[labels.mostOnADay, formats.amount(mostOf(bars.bars))] as [string, string]] : []),
    [labels.entries, formats.count(entries)],
  ];
  return (
    <>
      <dl className="quota-facts">
        {facts.map(([term, fact]) => (
          <div key={term}>
            <dt>{term}</dt>
            <dd className="quota-number">{fact}</dd>
          </div>
        ))}
      </dl>
      {entries === 0 && <Notice tone="plain">{labels.noUsage}</Notice>}
      {!isTable && (
        <Plot key={`${usage.from} ${usage.to} ${usage.tz}`} view={view} bars={bars} zone={usage.tz} limit={bars.unit === "day" ? limit : undefined} label={label} />
      )}
      <Table view={view} bars={bars} zone={usage.tz} total={total} label={label} isHidden={!isTable} />
    </>
  );
}

interface DownloadProps {
  view: View;
  client: string | undefined;
  query: { from?: string; to?: string; tz: string };
  usage: Usage | undefined;
}

function Download({ view, client, query, usage }: DownloadProps): ReactNode {
  const { quota, labels } = view;
  const [error, setError] = useState<QuotaError>();
  const download = async () => {
    try {
      const table = await quota.usageTable({ ...query, by: "label" }, client);
      saveTable(table, usage ? `usage-${usage.from}-${plusDays(usage.to, -1)}.csv` : "usage.csv");
      setError(undefined);
    } catch (thrown) {
      setError(QuotaError.of(thrown));
    }
  };
  return (
    <>
      <button type="button" className="quota-button" onClick={() => void download()}>
        <span aria-hidden="true">↓ </span>
        {labels.download}
      </button>
      {error && <ErrorNotice error={error} labels={labels} />}
    </>
  );
}

/** The limit of the quota of one day, where there is one. */
function useDayLimit({ quota }: View, client: string | undefined, every: number | undefined): Amount | undefined {
  const { status } = useStatus({ quota, client, every });
  const limit = status?.quotas.find(({ name }) => name === "day")?.limit ?? UNLIMITED;
  return Amount.parse(limit);
}
