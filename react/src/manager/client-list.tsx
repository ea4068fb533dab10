import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";

import { ErrorNotice, Notice } from "../parts/notice.js";
import { Skeleton } from "../parts/section.js";
import type { ManagerView } from "./manager-view.js";
import { type UseClients, useClients } from "./use-clients.js";

const ROW = 32;
const ROWS_SEEN = 14;
const ROWS_BESIDE = 6;

interface ClientListProps {
  view: ManagerView;
  client: string | undefined;
  onClient: (client: string) => void;
}

/** Every client, found by the beginning of its id. Only the rows that are seen are in the page. */
export function ClientList({ view, client, onClient }: ClientListProps): ReactNode {
  const id = useId();
  const [prefix, setPrefix] = useState("");
  const found = useClients(view.quota, prefix);
  const { labels, formats } = view;
  const { clients, hasMore, isLoading, error } = found;
  const count = formats.count(clients.length);
  return (
    <section className="quota quota-section quota-clients" aria-labelledby={id} aria-busy={isLoading}>
      <header className="quota-section-head">
        <h2 id={id}>{labels.clients}</h2>
        <span className="quota-spread" />
        <button type="button" className="quota-button" aria-label={`${labels.refresh}: ${labels.clients}`} onClick={found.refresh}>
          <span aria-hidden="true">↻</span>
        </button>
      </header>
      <form
        className="quota-form"
        role="search"
        onSubmit={(event) => {
          event.preventDefault();
          if (prefix !== "") onClient(prefix);
        }}
      >
        <label className="quota-field quota-wide">
          {labels.findClient}
          <input type="search" dir="auto" value={prefix} placeholder={labels.findClientHint} onChange={(event) => setPrefix(event.target.value)} />
        </label>
        {prefix !== "" && (
          <button type="submit" className="quota-link quota-clip">
            {labels.openClient(prefix)}
          </button>
        )}
      </form>
      {error && <ErrorNotice error={error} labels={labels} onRetry={found.again} />}
      {clients.length > 0 && <Rows key={prefix} view={view} found={found} client={client} onClient={onClient} />}
      {clients.length === 0 && !error && (isLoading ? <Skeleton text={labels.loading} /> : <NoClients view={view} prefix={prefix} />)}
      {clients.length > 0 && (
        <p className="quota-faint" role="status">
          {hasMore ? labels.clientsShownOfMore(count) : labels.clientsShown(count)}
        </p>
      )}
    </section>
  );
}

function NoClients({ view: { labels }, prefix }: { view: ManagerView; prefix: string }): ReactNode {
  return <Notice tone="plain">{prefix === "" ? labels.noClients : labels.noClientsFor(prefix)}</Notice>;
}

interface RowsProps extends ClientListProps {
  found: UseClients;
}

function Rows({ view, found: { clients, hasMore, more }, client, onClient }: RowsProps): ReactNode {
  const id = useId();
  const frame = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [active, setActive] = useState(() => Math.max(0, clients.indexOf(client ?? "")));
  const first = Math.max(0, Math.floor(top / ROW) - ROWS_BESIDE);
  const end = Math.min(clients.length, first + ROWS_SEEN + 2 * ROWS_BESIDE);
  const isNearEnd = hasMore && end >= clients.length - ROWS_SEEN;
  useEffect(() => {
    if (isNearEnd) more();
  });

  const go = (to: number) => {
    const index = Math.min(clients.length - 1, Math.max(0, to));
    setActive(index);
    const shown = frame.current;
    if (shown === null) return;
    if (index * ROW < shown.scrollTop) shown.scrollTop = index * ROW;
    if ((index + 1) * ROW > shown.scrollTop + shown.clientHeight) shown.scrollTop = (index + 1) * ROW - shown.clientHeight;
    setTop(shown.scrollTop);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    // Those are the browser's own.
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const steps: Record<string, number> = {
      ArrowDown: active + 1, ArrowUp: active - 1, PageDown: active + ROWS_SEEN, PageUp: active - ROWS_SEEN,
      Home: 0, End: clients.length - 1,
    };
    const chosen = clients[active];
    const to = steps[event.key];
    if (to !== undefined) go(to);
    else if ((event.key === "Enter" || event.key === " ") && chosen !== undefined) onClient(chosen);
    else return;
    event.preventDefault();
  };
  const isActiveThere = active >= first && active < end;
  return (
    <div
      ref={frame}
      className="quota-rows"
      role="listbox"
      tabIndex={0}
      aria-label={view.labels.clients}
      aria-activedescendant={isActiveThere ? `${id}${active}` : undefined}
      onKeyDown={onKeyDown}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
    >
      <div role="presentation" style={{ height: clients.length * ROW, paddingTop: first * ROW }}>
        {clients.slice(first, end).map((one, index) => (
          <div
            key={one}
            id={`${id}${first + index}`}
            className={first + index === active ? "quota-row quota-active" : "quota-row"}
            role="option"
            aria-selected={one === client}
            aria-setsize={hasMore ? -1 : clients.length}
            aria-posinset={first + index + 1}
            title={one}
            onClick={() => {
              setActive(first + index);
              onClient(one);
            }}
          >
            <bdi>{one}</bdi>
          </div>
        ))}
      </div>
    </div>
  );
}
