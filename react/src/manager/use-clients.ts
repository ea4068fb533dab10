import { useCallback, useEffect, useRef, useState } from "react";

import { QuotaError } from "../client/error";
import type { QuotaClient } from "../client/quota-client";

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
  refresh: () => void;
}

interface Known {
  clients: string[];
  next: string | null;
  isLoading: boolean;
  error: QuotaError | undefined;
}

const NOTHING: Known = { clients: [], next: null, isLoading: true, error: undefined };

/** The clients whose ids begin so, page by page. */
export function useClients(quota: QuotaClient, prefix: string): UseClients {
  const [known, setKnown] = useState(NOTHING);
  const running = useRef<AbortController | undefined>(undefined);

  const load = useCallback(
    async (before: string[], after: string | undefined) => {
      running.current?.abort();
      const mine = new AbortController();
      running.current = mine;
      setKnown((old) => ({ ...old, isLoading: true }));
      try {
        const query = { limit: PAGE, ...(prefix && { prefix }), ...(after !== undefined && { after }) };
        const { clients, next } = await quota.clients(query, mine.signal);
        if (running.current === mine) setKnown({ clients: [...before, ...clients], next, isLoading: false, error: undefined });
      } catch (thrown) {
        const error = QuotaError.of(thrown);
        if (running.current === mine) setKnown((old) => ({ ...old, isLoading: false, error }));
      } finally {
        if (running.current === mine) running.current = undefined;
      }
    },
    [quota, prefix],
  );

  useEffect(() => {
    const timer = setTimeout(() => void load([], undefined), prefix === "" ? 0 : PAUSE);
    return () => {
      clearTimeout(timer);
      running.current?.abort();
      running.current = undefined;
    };
  }, [load, prefix]);

  const { clients, next, isLoading, error } = known;
  const more = () => {
    if (next !== null && running.current === undefined) void load(clients, next);
  };
  return { clients, hasMore: next !== null, isLoading, error, more, refresh: () => void load([], undefined) };
}
