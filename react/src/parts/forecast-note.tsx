import type { ReactNode } from "react";

import type { Status } from "../client/wire.js";
import { type Forecast, forecastOf } from "../format/forecast.js";
import { useStatus } from "../hooks/use-status.js";
import { useView, type View, type ViewProps } from "../view/view.js";
import { Notice } from "./notice.js";
import { Section } from "./section.js";

export interface ForecastNoteProps extends ViewProps {
  /** Whose, for operators; by default the caller's. */
  client?: string | undefined;
  /** Of which quota, such as `month`; by default the finite one with the longest window. */
  name?: string | undefined;
  /** Milliseconds between an answer and the next call; 0 asks once. */
  every?: number | undefined;
}

/** How long the credits last at this pace. */
export function ForecastNote({ client, name, every, ...props }: ForecastNoteProps): ReactNode {
  const view = useView(props);
  const { status, ...state } = useStatus({ quota: view.quota, client, every });
  return (
    <Section title={view.labels.forecast} view={view} state={state} hasData={status !== undefined}>
      {status && <Words status={status} name={name} view={view} />}
    </Section>
  );
}

function Words({ status, name, view }: { status: Status; name: string | undefined; view: View }): ReactNode {
  const forecast = forecastOf(status, name);
  const isNear = forecast.kind === "until" || forecast.kind === "usedUp";
  return (
    <Notice tone={isNear ? "near" : "plain"} isQuiet>
      {isNear && <span aria-hidden="true">▲ </span>}
      {wordsOf(forecast, view)}
    </Notice>
  );
}

function wordsOf(forecast: Forecast, { labels, formats }: View): string {
  if (forecast.kind === "unlimited") return labels.noForecast;
  if (forecast.kind === "unknown") return labels.noSuchQuota(forecast.name);
  const name = formats.period(forecast.quota.name);
  const renewal = formats.instant(forecast.quota.resets_at, forecast.quota.name);
  if (forecast.kind === "until") return labels.lastsUntil(name, formats.instant(forecast.at));
  return {
    usedUp: labels.usedUp(name, renewal),
    unused: labels.nothingUsedYet(name),
    early: labels.tooEarly(name),
    beyond: labels.lastsBeyond(name, renewal),
  }[forecast.kind];
}
