import type { QuotaClient } from "../client/quota-client.js";
import type { Usage, UsageQuery } from "../client/wire.js";
import { useQuota } from "../view/view.js";
import type { PollState } from "./poll.js";
import { usePoll } from "./polls.js";

export interface UseUsageOptions extends UsageQuery {
  quota?: QuotaClient | undefined;
  /** Whose, for operators; by default the caller's. */
  client?: string | undefined;
  /** Milliseconds between an answer and the next call, a minute by default; 0 asks once. */
  every?: number | undefined;
}

export interface UseUsage extends Omit<PollState<Usage>, "data"> {
  usage: Usage | undefined;
  refresh: () => Promise<void>;
}

/** The usage by day, kept up to date. */
export function useUsage({ quota: given, client, every = 60_000, ...query }: UseUsageOptions = {}): UseUsage {
  const quota = useQuota(given);
  const { from, to, tz, by } = query;
  const load = (signal: AbortSignal) => quota.usage(query, client, signal);
  const words = ["usage", from ?? "", to ?? "", tz ?? "", by ?? ""];
  const { data: usage, ...state } = usePoll(quota, { words, client, every, load });
  return { usage, ...state };
}
