import { type ReactNode, useId, useRef, useState } from "react";

import { QuotaError } from "../client/error.js";
import { refreshClient } from "../hooks/polls.js";
import { useStatus } from "../hooks/use-status.js";
import { DayFields } from "../parts/day-fields.js";
import { ErrorNotice, Notice } from "../parts/notice.js";
import { dayAt, faultOfDays, plusDays, startOfDay } from "../time/day.js";
import { instantOf } from "../time/instant.js";
import type { ManagerView } from "./manager-view.js";

interface UsageDeletionProps {
  view: ManagerView;
  client: string;
}

/** Deletes what was used on some days, by default today, after the client's id was typed. */
export function UsageDeletion({ view, client }: UsageDeletionProps): ReactNode {
  const id = useId();
  const { quota, labels, formats } = view;
  const { status, error } = useStatus({ quota, client });
  const [edited, setEdited] = useState<Days>();
  const [isAll, setIsAll] = useState(false);
  const [typed, setTyped] = useState("");
  const [done, setDone] = useState<number | QuotaError>();
  const isBusy = useRef(false);
  // What day it is, the server says.
  const isDayKnown = status !== undefined || error !== undefined;
  const today = isDayKnown ? dayAt(quota.clock.now(), formats.zone) : "";
  const days = edited ?? { from: today, until: today };
  const fault = isAll ? undefined : faultOfDays(days.from, days.until);
  const isReady = typed === client && fault === undefined;
  const bounds = fault || isAll ? undefined : boundsOf(days, formats.zone);

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
  const confirm = (text: string) => {
    // What is confirmed does not move on at midnight.
    if (isDayKnown) setEdited(days);
    change(setTyped)(text);
  };
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
          <DayFields
            view={view}
            {...days}
            fault={edited && fault}
            isOff={isAll}
            onDays={(from, until) => change(setEdited)({ from, until })}
          />
          <label className="quota-check">
            <input type="checkbox" checked={isAll} onChange={(event) => change(setIsAll)(event.target.checked)} />
            {labels.deleteEverything}
          </label>
        </div>
        {isAll && <p className="quota-faint">{labels.everythingHint}</p>}
        {bounds && (
          <p className="quota-faint">{labels.deletionHint(formats.instant(bounds.from), formats.instant(bounds.to))}</p>
        )}
        <label className="quota-field quota-wide">
          <span className="quota-break">{labels.typeToConfirm(client)}</span>
          <input value={typed} autoComplete="off" spellCheck={false} onChange={(event) => confirm(event.target.value)} />
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

/** The first and the last, as the form has them. */
interface Days {
  from: string;
  until: string;
}

/** The instants between which whole local days lie. */
function boundsOf({ from, until }: Days, zone: string): { from: string; to: string } {
  return { from: instantOf(startOfDay(from, zone)), to: instantOf(startOfDay(plusDays(until, 1), zone)) };
}
