import { Amount } from "./amount.js";
import type {
  Clients, DayUsage, Deleted, Denial, Denials, Entries, Entry, Health, Plan, Preview, Problem, Quota, QuotaState,
  Status, Usage,
} from "./wire.js";
import { UNLIMITED } from "./wire.js";
import { isDay } from "../time/day.js";
import { millisOf } from "../time/instant.js";

/** Takes a value of JSON for what it should be, or throws a `Mismatch`. Members that nobody asked for are left out. */
export type Reader<T> = (value: unknown) => T;

/** A value is not what the description of the API says. */
export class Mismatch extends Error {}

const text: Reader<string> = (value) => {
  if (typeof value !== "string") throw new Mismatch();
  return value;
};

const textThat =
  (is: (value: string) => boolean): Reader<string> =>
  (value) => {
    if (!is(text(value))) throw new Mismatch();
    return text(value);
  };

const whole: Reader<number> = (value) => {
  if (!Number.isSafeInteger(value)) throw new Mismatch();
  return value as number;
};

const oneOf =
  <T extends string>(...words: T[]): Reader<T> =>
  (value) => {
    if (!words.includes(value as T)) throw new Mismatch();
    return value as T;
  };

const nullable =
  <T>(reader: Reader<T>): Reader<T | null> =>
  (value) =>
    value === null ? null : reader(value);

const optional =
  <T>(reader: Reader<T>): Reader<T | undefined> =>
  (value) =>
    value === undefined ? undefined : reader(value);

const list =
  <T>(reader: Reader<T>): Reader<T[]> =>
  (value) => {
    if (!Array.isArray(value)) throw new Mismatch();
    return value.map(reader);
  };

const record =
  <T extends object>(members: { [Name in keyof Required<T>]: Reader<T[Name]> }): Reader<T> =>
  (value) => {
    if (typeof value !== "object" || value === null) throw new Mismatch();
    const read: Partial<T> = {};
    for (const name in members) {
      const member = members[name](Object.hasOwn(value, name) ? (value as T)[name] : undefined);
      if (member !== undefined) read[name] = member;
    }
    return read as T;
  };

const amount = textThat((value) => Amount.parse(value) !== undefined);
const limit = textThat((value) => value === UNLIMITED || Amount.parse(value) !== undefined);
const instant = textThat((value) => millisOf(value) !== undefined);
const day = textThat(isDay);

export const readProblem = record<Problem>({ type: text, title: text, status: whole, detail: text });
export const readHealth = record<Health>({ status: oneOf("ok") });

const quotaStatus = record<QuotaState>({
  name: text, limit, used: amount, held: amount, remaining: limit, starts_at: instant, resets_at: instant,
});

export const readStatus = record<Status>({ at: instant, quotas: list(quotaStatus), lowest: nullable(text) });

const dayUsage = record<DayUsage>({ day, label: optional(text), credits: amount, entries: whole });

export const readUsage = record<Usage>({ from: day, to: day, tz: text, days: list(dayUsage), total: amount });

export const readClients = record<Clients>({ clients: list(text), next: nullable(text) });

const quota = record<Quota>({
  period: oneOf("SECOND", "MINUTE", "HOUR", "DAY", "WEEK", "MONTH", "YEAR"), every: whole, limit, anchor: instant, tz: text,
});

export const readPlan = record<Plan>({ quotas: list(quota) });

export const readPreview = record<Preview>({
  quotas: list(record<Preview["quotas"][number]>({ name: text, renewals: list(instant) })),
  status: readStatus,
});

const entry = record<Entry>({ id: nullable(text), at: instant, credits: amount, label: nullable(text) });

export const readEntries = record<Entries>({ entries: list(entry), next: nullable(text) });

export const readDeleted = record<Deleted>({ deleted: whole });

const denial = record<Denial>({
  at: instant, required: amount, violated: list(text), binding: nullable(text), retry_at: nullable(instant),
  quotas: list(quotaStatus),
});

export const readDenials = record<Denials>({ denials: list(denial) });
