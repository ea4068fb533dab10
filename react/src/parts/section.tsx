import { type ReactNode, useId } from "react";

import type { PollState } from "../hooks/poll.js";
import type { View } from "../view/view.js";
import { ErrorNotice, Notice } from "./notice.js";

interface SectionProps {
  title: string;
  view: View;
  state: Omit<PollState<unknown>, "data"> & { refresh: () => Promise<void> };
  /** Whether there is something to show. */
  hasData: boolean;
  /** What stands beside the title. */
  tools?: ReactNode;
  /** What is there also where the data are not. */
  controls?: ReactNode;
  /** In place of the words for an error. */
  instead?: ReactNode;
  children: ReactNode;
}

/** A part of a page with its own loading and error. What it has it keeps while it asks again. */
export function Section({ title, view, state, hasData, tools, controls, instead, children }: SectionProps): ReactNode {
  const id = useId();
  const { labels, formats, unknownZone } = view;
  const { error, isLoading, at } = state;
  const shown = at === undefined ? undefined : formats.time(at);
  const retry = () => void state.refresh();
  return (
    <section className="quota quota-section" aria-labelledby={id} aria-busy={isLoading}>
      <header className="quota-section-head">
        <h2 id={id}>{title}</h2>
        {tools}
        <span className="quota-spread" />
        {shown !== undefined && <span className="quota-faint">{labels.asOf(shown)}</span>}
        <button type="button" className="quota-button" aria-label={`${labels.refresh}: ${title}`} onClick={retry}>
          <span aria-hidden="true">↻</span>
        </button>
      </header>
      {controls}
      {unknownZone !== undefined && <Notice tone="near">{labels.unknownZone(unknownZone)}</Notice>}
      {error && (instead || <ErrorNotice error={error} labels={labels} staleSince={hasData ? shown : undefined} onRetry={retry} />)}
      {hasData ? children : !error && <Skeleton text={labels.loading} />}
    </section>
  );
}

/** The place of what is still to come. */
export function Skeleton({ text }: { text: string }): ReactNode {
  return (
    <div className="quota-skeleton" role="status">
      <span className="quota-hidden">{text}</span>
      <i /> <i /> <i />
    </div>
  );
}
