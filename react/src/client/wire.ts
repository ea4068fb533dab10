import type { components, operations } from "./openapi.js";

type Schemas = components["schemas"];

export type Plan = Schemas["Plan"];
export type Quota = Schemas["Quota"];
export type Period = Quota["period"];
export type QuotaState = Schemas["QuotaStatus"];
export type Status = Schemas["Status"];
export type DayUsage = Schemas["DayUsage"];
export type Usage = Schemas["Usage"];
export type Clients = Schemas["Clients"];
export type Preview = Schemas["Preview"];
export type Entry = Schemas["Entry"];
export type Entries = Schemas["Entries"];
export type Deleted = Schemas["Deleted"];
export type Denial = Schemas["Denial"];
export type Denials = Schemas["Denials"];
export type Health = Schemas["Health"];
export type Problem = Schemas["Problem"];

type Query<Name extends keyof operations> = NonNullable<operations[Name]["parameters"]["query"]>;

/** Which days: local dates in `tz`, half-open. By default the last 30 days, in UTC. */
export type UsageQuery = Query<"usage">;
export type ClientsQuery = Query<"clients">;
export type EntriesQuery = Query<"entries">;
export type DeletionQuery = Query<"deleteUsage">;

/** What a limit says that is none. */
export const UNLIMITED = "unlimited";
