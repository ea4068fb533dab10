export { Amount } from "./amount";
export { ServerClock } from "./clock";
export { QuotaError } from "./error";
export type { QuotaErrorKind } from "./error";
export { QuotaClient } from "./quota-client";
export type { QuotaClientOptions } from "./quota-client";
export { UNLIMITED } from "./wire";
export type * from "./wire";
