import type { QuotaClient } from "../client/quota-client.js";
import type { Status } from "../client/wire.js";
import { useQuota } from "../view/view.js";
import type { PollState } from "./poll.js";
import { usePoll } from "./polls.js";

export interface UseStatusOptions {
  quota?: QuotaClient | undefined;
  /** Whose, for operators; by default the caller's. */
  client?: string | undefined;
  /** Milliseconds between an answer and the next call, 15 seconds by default; 0 asks once. */
  every?: number | undefined;
}

export interface UseStatus extends Omit<PollState<Status>, "data"> {
  status: Status | undefined;
  refresh: () => Promise<void>;
}

/** Where the quotas stand, kept up to date. */
export function useStatus({ quota: given, client, every = 15_000 }: UseStatusOptions = {}): UseStatus {
  const quota = useQuota(given);
  const load = (signal: AbortSignal) => quota.status(client, signal);
  const { data: status, ...state } = usePoll(quota, { words: ["status"], client, every, load });
  return { status, ...state };
}
