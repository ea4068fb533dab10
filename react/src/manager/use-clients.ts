import { useEffect, useMemo, useRef, useState } from "react";

import type { QuotaError } from "../client/error.js";
import type { QuotaClient } from "../client/quota-client.js";
import type { Clients } from "../client/wire.js";
import { usePoll } from "../hooks/polls.js";

const PAGE = 200;
/** So long after the last key is waited before the server is asked. */
const PAUSE = 150;

export interface UseClients {
  clients: string[];
  hasMore: boolean;
  isLoading: boolean;
  error: QuotaError | undefined;
  /** Asks for the next page. */
  more: () => void;
  /** Asks for the same page once more. */
  again: () => void;
  refresh: () => void;
}

/** A page, and those before it. */
interface Place {
  prefix: string;
  before: string[];
  after: string | undefined;
  /** Told apart from the same page asked for before. */
  turn: number;
}

/** The clients whose ids begin so, page by page. */
export function useClients(quota: QuotaClient, prefix: string): UseClients {
  const [place, setPlace] = useState<Place>({ prefix: "", before: [], after: undefined, turn: 0 });
  const first = (wanted: string) => setPlace(({ turn }) => ({ prefix: wanted, before: [], after: undefined, turn: turn + 1 }));
  useEffect(() => {
    if (prefix === place.prefix) return;
    const timer = setTimeout(() => first(prefix), PAUSE);
    return () => clearTimeout(timer);
  }, [prefix, place.prefix]);

  const { after, before, turn } = place;
  const load = (signal: AbortSignal) =>
    quota.clients({ limit: PAGE, ...(place.prefix && { prefix: place.prefix }), ...(after !== undefined && { after }) }, signal);
  const words = ["clients", place.prefix, after ?? null, turn];
  const { data, error, isLoading, refresh } = usePoll<Clients>(quota, { words, client: undefined, every: 0, load });
  const known = useMemo(() => data && [...before, ...data.clients], [data, before]);
  const last = useRef<string[]>([]);
  const [of, setOf] = useState(quota);
  if (of !== quota) {
    // Another API's, or another operator's: none of these is its.
    setOf(quota);
    last.current = [];
    setPlace({ prefix: place.prefix, before: [], after: undefined, turn: turn + 1 });
  } else if (known) {
    last.current = known;
  }
  // While a list is waited for, the last one stands; where it cannot be had, what there is without it.
  const clients = known ?? (error ? before : last.current);
  const more = () => {
    if (data?.next) setPlace({ ...place, before: clients, after: data.next });
  };
  return {
    clients, hasMore: data ? data.next !== null : after !== undefined, isLoading: isLoading || prefix !== place.prefix, error, more, again: () => void refresh(), refresh: () => first(prefix),
  };
}
