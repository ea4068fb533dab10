import { useCallback, useMemo, useSyncExternalStore } from "react";

import type { QuotaClient } from "../client/quota-client.js";
import { LONGEST_TIMER } from "../time/instant.js";
import { ASKING, Poll, type PollOptions, type PollState } from "./poll.js";

interface Shared {
  poll: Poll<unknown>;
  client: string | undefined;
}

/** What several components ask alike is asked once. */
const polls = new WeakMap<QuotaClient, Map<string, Shared>>();

export interface PollRequest<T> extends Omit<PollOptions<T>, "now"> {
  /** What is asked: two requests with the same words share their answers. */
  words: readonly unknown[];
  /** Whose; none is the caller. */
  client: string | undefined;
}

/** The answers to a request while the component is there. */
export function usePoll<T>(quota: QuotaClient, request: PollRequest<T>): PollState<T> & { refresh: () => Promise<void> } {
  const key = JSON.stringify([request.client ?? null, request.every, ...request.words]);
  const poll = useMemo(() => shared(quota, key, request), [quota, key]);
  const subscribe = useCallback(
    (listener: () => void) => {
      const known = pollsOf(quota).set(key, { poll: poll as Poll<unknown>, client: request.client });
      const unsubscribe = poll.subscribe(listener);
      return () => {
        unsubscribe();
        const forget = () => !poll.isHeard && known.get(key)?.poll === poll && known.delete(key);
        // What `Retry-After` says holds also for a component that comes back.
        if (poll.wait > 0) setTimeout(forget, Math.min(poll.wait, LONGEST_TIMER));
        else forget();
      };
    },
    [quota, key, poll, request.client],
  );
  const state = useSyncExternalStore(subscribe, poll.snapshot, () => ASKING);
  return { ...state, refresh: poll.refresh };
}

/** Those that are shared now. */
export function pollsOf(quota: QuotaClient): Map<string, Shared> {
  const known = polls.get(quota) ?? new Map<string, Shared>();
  polls.set(quota, known);
  return known;
}

/** Components that are shown at once meet here before any of them listens. */
function shared<T>(quota: QuotaClient, key: string, { load, every, client }: PollRequest<T>): Poll<T> {
  const known = pollsOf(quota);
  const poll = (known.get(key)?.poll as Poll<T> | undefined) ?? new Poll({ load, every, now: () => quota.clock.now() });
  // On a server nobody ever listens, and none would be let go.
  if (typeof document !== "undefined") known.set(key, { poll: poll as Poll<unknown>, client });
  return poll;
}

/** Asks again for all that is shown of a client: something of it was changed. */
export async function refreshClient(quota: QuotaClient, client: string | undefined): Promise<void> {
  await refreshThose(quota, (key, one) => one.client === client && !isOfClients(key));
}

/** Asks again for the lists of clients that are shown: one may have come, or gone. */
export async function refreshClients(quota: QuotaClient): Promise<void> {
  await refreshThose(quota, isOfClients);
}

function isOfClients(key: string): boolean {
  return (JSON.parse(key) as unknown[])[2] === "clients";
}

async function refreshThose(quota: QuotaClient, isMeant: (key: string, one: Shared) => boolean): Promise<void> {
  const concerned = [...(polls.get(quota)?.entries() ?? [])].filter(([key, one]) => one.poll.isHeard && isMeant(key, one));
  await Promise.all(concerned.map(([, one]) => one.poll.refresh()));
}
