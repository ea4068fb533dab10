export { Amount } from "./amount.js";
export { ServerClock } from "./clock.js";
export { QuotaError } from "./error.js";
export type { QuotaErrorKind } from "./error.js";
export { QuotaClient } from "./quota-client.js";
export type { QuotaClientOptions } from "./quota-client.js";
export { UNLIMITED } from "./wire.js";
export type * from "./wire.js";
