import type { QuotaState, Status, Usage } from "../src/client";

export const AT = "2024-03-01T21:00:00Z";

export function quotaState(changes: Partial<QuotaState> = {}): QuotaState {
  return {
    name: "day", limit: "500", used: "5", held: "0", remaining: "495",
    starts_at: "2024-03-01T00:00:00Z", resets_at: "2024-03-02T00:00:00Z", ...changes,
  };
}

export function status(...quotas: QuotaState[]): Status {
  return { at: AT, quotas, lowest: quotas.find((quota) => quota.limit !== "unlimited")?.name ?? null };
}

export const USAGE: Usage = {
  from: "2024-03-30", to: "2024-04-02", tz: "Europe/Berlin", total: "12.000001",
  days: [
    { day: "2024-03-30", credits: "12", entries: 3 },
    { day: "2024-04-01", credits: "0.000001", entries: 1 },
  ],
};
