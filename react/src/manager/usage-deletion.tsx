import { type ReactNode, useId, useRef, useState } from "react";

import { QuotaError } from "../client/error";
import { refreshClient } from "../hooks/polls";
import { ErrorNotice, Notice } from "../parts/notice";
import { dayAt, plusDays, startOfDay } from "../time/day";
import { instantOf } from "../time/instant";
import type { ManagerView } from "./manager-view";

interface UsageDeletionProps {
  view: ManagerView;
  client: string;
}

/** Deletes what was used on some days, after the client's id was typed. */
export function UsageDeletion({ view, client }: UsageDeletionProps): ReactNode {
  const id = useId();
  const { quota, labels, formats } = view;
  const today = dayAt(quota.clock.now(), formats.zone);
  const [from, setFrom] = useState(today);
  const [until, setUntil] = useState(today);
  const [isAll, setIsAll] = useState(false);
  const [typed, setTyped] = useState("");
  const [done, setDone] = useState<number | QuotaError>();
  const isBusy = useRef(false);
  const isWrong = !isAll && (from === "" || until === "" || until < from);
  const isReady = typed === client && !isWrong;
  const bounds = isWrong || isAll ? undefined : boundsOf(from, until, formats.zone);

  const remove = async () => {
    // A second click would delete what the first has left: nothing.
    if (isBusy.current) return;
    isBusy.current = true;
    try {
      const query = bounds === undefined ? ({ all: "true" } as const) : bounds;
      const { deleted } = await quota.deleteUsage(client, query);
      setDone(deleted);
      setTyped("");
      void refreshClient(quota, client);
    } catch (thrown) {
      setDone(QuotaError.of(thrown));
    } finally {
      isBusy.current = false;
    }
  };
  const change = <T,>(set: (value: T) => void) => (value: T) => {
    set(value);
    setDone(undefined);
  };
  const day = (label: string, value: string, set: (day: string) => void) => (
    <label className="quota-field">
      {label}
      <input type="date" value={value} disabled={isAll} aria-invalid={isWrong} onChange={(event) => change(set)(event.target.value)} />
    </label>
  );
  return (
    <section className="quota quota-section" aria-labelledby={id}>
      <header className="quota-section-head">
        <h2 id={id}>{labels.deletion}</h2>
      </header>
      <form
        className="quota-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) void remove();
        }}
      >
        <div className="quota-choices">
          {day(labels.from, from, setFrom)}
          {day(labels.until, until, setUntil)}
          <label className="quota-check">
            <input type="checkbox" checked={isAll} onChange={(event) => change(setIsAll)(event.target.checked)} />
            {labels.deleteEverything}
          </label>
        </div>
        {isWrong && <p className="quota-fault" role="alert">{labels.rangeEndsBeforeItBegins}</p>}
        {isAll && <p className="quota-faint">{labels.everythingHint}</p>}
        {bounds && (
          <p className="quota-faint">{labels.deletionHint(formats.instant(bounds.from), formats.instant(bounds.to))}</p>
        )}
        <label className="quota-field quota-wide">
          <span className="quota-break">{labels.typeToConfirm(client)}</span>
          <input value={typed} autoComplete="off" spellCheck={false} onChange={(event) => change(setTyped)(event.target.value)} />
        </label>
        <div className="quota-choices">
          <button type="submit" className="quota-button quota-danger" aria-disabled={!isReady}>
            {labels.deleteUsage}
          </button>
        </div>
        {typeof done === "number" && <Notice tone="done">{labels.deleted(formats.count(done))}</Notice>}
        {done instanceof QuotaError && <ErrorNotice error={done} labels={labels} />}
      </form>
    </section>
  );
}

/** The instants between which whole local days lie. */
function boundsOf(from: string, until: string, zone: string): { from: string; to: string } {
  return { from: instantOf(startOfDay(from, zone)), to: instantOf(startOfDay(plusDays(until, 1), zone)) };
}
