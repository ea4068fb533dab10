import { createContext, type ReactNode, useContext, useMemo } from "react";

import type { QuotaClient } from "../client/quota-client";
import { Formats } from "../format/formats";
import { english } from "../labels/english";
import type { Labels, SomeLabels } from "../labels/labels";
import { isKnownZone, ownZone } from "../time/zone";

/** What every component takes; each of it can also come from a `QuotaProvider` above. */
export interface ViewProps {
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
  /** The zone that was asked for, where the browser does not know it. */
  unknownZone: string | undefined;
}

const Context = createContext<ViewProps>({});

/** What all components below share. */
export function QuotaProvider({ children, ...props }: ViewProps & { children?: ReactNode }): ReactNode {
  return <Context.Provider value={props}>{children}</Context.Provider>;
}

export function useView(props: ViewProps): View {
  const above = useContext(Context);
  const quota = useQuota(props.quota);
  const labels = useMemo(
    () => ({ ...english, ...above.labels, ...props.labels }),
    [above.labels, props.labels],
  );
  const wanted = props.timeZone ?? above.timeZone ?? ownZone();
  const locale = writable(props.locale ?? above.locale) ?? preferred(labels.language);
  const { period } = labels;
  const formats = useMemo(() => new Formats(locale, wanted, { period }), [locale, wanted, period]);
  return { quota, labels, formats, unknownZone: isKnownZone(wanted) ? undefined : wanted };
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
