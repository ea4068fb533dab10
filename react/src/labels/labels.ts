/** Every text that the components show to whoever uses an API. */
export interface Labels {
  /** The language of the texts, as `Intl` knows it. */
  language: string;

  quotas: string;
  usage: string;
  forecast: string;

  loading: string;
  refresh: string;
  tryAgain: string;
  asOf: (time: string) => string;
  stale: (time: string) => string;
  unknownZone: (zone: string) => string;
  zoneUnknownToServer: (zone: string) => string;

  unreachable: string;
  unauthorized: string;
  forbidden: string;
  refused: (detail: string) => string;
  cannotBeAskedFor: string;
  unavailable: string;
  malformed: string;
  goesOnByItself: string;

  /** A quota's period in words: `day`, `15 minutes`. */
  period: (every: number, unit: PeriodUnit) => string;
  noQuotas: string;
  used: (amount: string, limit: string) => string;
  usedOf: string;
  held: (amount: string) => string;
  left: (amount: string) => string;
  debt: (amount: string) => string;
  unlimited: string;
  renews: (duration: string, instant: string) => string;
  renewsNow: string;
  near: string;
  reached: string;
  inDebt: string;
  showAll: (count: string) => string;
  showFewer: string;
  ofPeriod: (period: string) => string;

  range: string;
  lastDays: (days: number) => string;
  thisMonth: string;
  lastMonth: string;
  ownRange: string;
  from: string;
  until: string;
  dayIsMissing: (field: string) => string;
  dayIsTooLate: string;
  rangeEndsBeforeItBegins: string;
  rangeIsTooLong: string;
  zone: string;
  yourZone: string;
  otherZones: string;
  total: string;
  perDay: string;
  mostOnADay: string;
  entries: string;
  credits: string;
  day: string;
  month: string;
  showTable: string;
  download: string;
  chartOf: (range: string, total: string) => string;
  chosenBar: string;
  bar: (when: string, credits: string, entries: string) => string;
  dayLimit: (amount: string) => string;
  dayLimitAbove: (amount: string) => string;
  hours: (hours: string) => string;
  noUsage: string;

  lastsUntil: (quota: string, instant: string) => string;
  lastsBeyond: (quota: string, instant: string) => string;
  nothingUsedYet: (quota: string) => string;
  usedUp: (quota: string, instant: string) => string;
  tooEarly: (quota: string) => string;
  noForecast: string;
  noSuchQuota: (name: string) => string;
}

/** Every text that only operators see. */
export interface ManagerLabels {
  clients: string;
  findClient: string;
  findClientHint: string;
  noClients: string;
  noClientsFor: (prefix: string) => string;
  clientsShown: (count: string) => string;
  clientsShownOfMore: (count: string) => string;
  chooseClient: string;
  openClient: (prefix: string) => string;

  plan: string;
  noPlan: string;
  plansReadOnly: string;
  every: string;
  unit: string;
  unitName: (unit: PeriodUnit) => string;
  limitField: string;
  unlimitedField: string;
  anchor: string;
  anchorHint: string;
  quotaNumber: (number: string) => string;
  addQuota: string;
  removeQuota: (number: string) => string;
  preview: string;
  previewFirst: string;
  previewOf: string;
  save: string;
  saved: string;
  planChanged: string;
  takePlan: string;
  lookAgain: string;
  discard: string;
  removePlan: string;
  removePlanConfirm: string;
  planRemoved: string;
  liftAll: string;
  liftAllConfirm: string;
  cancel: string;
  quotaColumn: string;
  leftNow: string;
  leftThen: string;
  nextRenewals: string;
  noLonger: string;
  everyIsWrong: string;
  limitIsWrong: string;
  limitIsTooLarge: (most: string) => string;
  anchorIsWrong: string;
  zoneIsWrong: string;
  sameTwice: string;

  deletion: string;
  deletionHint: (from: string, to: string) => string;
  deleteEverything: string;
  everythingHint: string;
  typeToConfirm: (client: string) => string;
  deleteUsage: string;
  deleted: (count: string) => string;

  denials: string;
  noDenials: string;
  denialsNotKept: string;
  denialsHint: string;
  at: string;
  cost: string;
  shortQuotas: string;
  retryAt: string;
  never: string;
}

export type PeriodUnit = "second" | "minute" | "hour" | "day" | "week" | "month" | "year";

type Some<T> = { [Name in keyof T]?: T[Name] | undefined };

/** The texts to be replaced; the others stay. */
export type SomeLabels = Some<Labels>;
export type SomeManagerLabels = Some<Labels & ManagerLabels>;

/** Texts in place of those before them; one that is `undefined` replaces none. */
export function withLabels<T extends object>(labels: T, ...others: (Some<T> | undefined)[]): T {
  const given = others.flatMap((some) => Object.entries(some ?? {}).filter(([, text]) => text !== undefined));
  return { ...labels, ...Object.fromEntries(given) };
}
