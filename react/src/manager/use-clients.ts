import { useCallback, useEffect, useRef, useState } from "react";

import { QuotaError } from "../client/error";
import type { QuotaClient } from "../client/quota-client";
import { isWorthRetrying } from "../hooks/poll";

const PAGE = 200;
/** So long after the last key is waited before the server is asked. */
const PAUSE = 150;
/** So long after an error the same page is asked for again. */
const RETRY = 10_000;

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

interface Known {
  clients: string[];
  next: string | null;
  isLoading: boolean;
  error: QuotaError | undefined;
  /** What was asked last, to be asked again. */
  asked: { before: string[]; after: string | undefined };
}

const FIRST = { before: [], after: undefined };
const NOTHING: Known = { clients: [], next: null, isLoading: true, error: undefined, asked: FIRST };

/** The clients whose ids begin so, page by page. */
export function useClients(quota: QuotaClient, prefix: string): UseClients {
  const [known, setKnown] = useState(NOTHING);
  const running = useRef<AbortController | undefined>(undefined);

  const load = useCallback(
    async (before: string[], after: string | undefined) => {
      running.current?.abort();
      const mine = new AbortController();
      running.current = mine;
      const asked = { before, after };
      setKnown((old) => ({ ...old, isLoading: true, asked }));
      try {
        const query = { limit: PAGE, ...(prefix && { prefix }), ...(after !== undefined && { after }) };
        const { clients, next } = await quota.clients(query, mine.signal);
        if (running.current === mine) {
          setKnown({ clients: [...before, ...clients], next, isLoading: false, error: undefined, asked });
        }
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

  const { clients, next, isLoading, error, asked } = known;
  const again = () => void load(asked.before, asked.after);
  useEffect(() => {
    if (error === undefined || !isWorthRetrying(error)) return;
    const timer = setTimeout(again, RETRY);
    return () => clearTimeout(timer);
  }, [error, load]);
  const more = () => {
    if (next !== null && error === undefined && running.current === undefined) void load(clients, next);
  };
  return { clients, hasMore: next !== null, isLoading, error, more, again, refresh: () => void load([], undefined) };
}
