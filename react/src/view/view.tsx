import { createContext, type ReactNode, useContext, useMemo } from "react";

import type { QuotaClient } from "../client/quota-client.js";
import { Formats } from "../format/formats.js";
import { english } from "../labels/english.js";
import { type Labels, type SomeLabels, withLabels } from "../labels/labels.js";
import { isKnownZone, ownZone } from "../time/zone.js";
import { useIsHere } from "./here.js";

/** What every component takes; each of it can also come from a `QuotaProvider` above. */
export interface ViewProps {
  /**
   * The usage API. The same object each time: made once outside of components, or by `useMemo` where it depends on
   * something. Another one is asked anew for all that is shown.
   */
  quota?: QuotaClient | undefined;
  /** Texts in place of the English ones; `german` has all of them in German. */
  labels?: SomeLabels | undefined;
  /** How numbers and dates are written; by default as the browser prefers in the language of the labels. */
  locale?: string | undefined;
  /** The zone that times are shown in; by default the browser's. */
  timeZone?: string | undefined;
}

export interface View {
  quota: QuotaClient;
  labels: Labels;
  formats: Formats;
  /** The zone that was asked for. */
  zone: string;
  /** The zone that was asked for, where the browser does not know it. */
  unknownZone: string | undefined;
}

const Context = createContext<ViewProps>({});

/** What all components below share. What is not given here comes from the `QuotaProvider` above, single labels too. */
export function QuotaProvider({ children, ...props }: ViewProps & { children?: ReactNode }): ReactNode {
  const above = useContext(Context);
  const labels = useMemo(() => withLabels<SomeLabels>({}, above.labels, props.labels), [above.labels, props.labels]);
  const quota = props.quota ?? above.quota;
  const locale = props.locale ?? above.locale;
  const timeZone = props.timeZone ?? above.timeZone;
  const value = useMemo(() => ({ quota, labels, locale, timeZone }), [quota, labels, locale, timeZone]);
  return <Context.Provider value={value}>{children}</Context.Provider>;
}

export function useView(props: ViewProps): View {
  const above = useContext(Context);
  const quota = useQuota(props.quota);
  const labels = useMemo(
    () => withLabels<Labels>(english, above.labels, props.labels),
    [above.labels, props.labels],
  );
  const isHere = useIsHere();
  const zone = props.timeZone ?? above.timeZone ?? (isHere ? ownZone() : "UTC");
  const language = writable(labels.language) ?? english.language;
  const locale = writable(props.locale ?? above.locale) ?? (isHere ? preferred(language) : language);
  const { period } = labels;
  const formats = useMemo(() => new Formats(locale, zone, { period }), [locale, zone, period]);
  return { quota, labels, formats, zone, unknownZone: isHere && !isKnownZone(zone) ? zone : undefined };
}

/** The usage API that was given, or that of the `QuotaProvider` above. */
export function useQuota(given?: QuotaClient): QuotaClient {
  const above = useContext(Context).quota;
  const quota = given ?? above;
  if (quota === undefined) throw new Error("a quota component needs a QuotaClient: as `quota`, or of a QuotaProvider");
  return quota;
}

/** A locale that `Intl` takes. */
function writable(locale: string | undefined): string | undefined {
  try {
    return locale === undefined ? undefined : Intl.getCanonicalLocales(locale)[0];
  } catch {
    return undefined;
  }
}

function preferred(language: string): string {
  const languages = typeof navigator === "undefined" ? [] : navigator.languages;
  return writable(languages.find((locale) => locale.split("-")[0] === language)) ?? language;
}
