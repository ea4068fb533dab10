import { ForecastNote, QuotaProvider, QuotaStatus, RemainingBadge, UsageChart } from "@quota/react";
import { type ReactNode, useMemo, useState } from "react";

import { Ask } from "./ask";
import { useFocus } from "./focus";
import { clientHeader, ownQuota } from "./server";
import type { Words } from "./words";

const LONGEST = 255;

interface ClientViewProps {
  words: Words;
  client: string | undefined;
  onClient: (client: string | undefined) => void;
}

/** What a caller sees of its own quotas and usage. */
export function ClientView({ words, client, onClient }: ClientViewProps): ReactNode {
  const [isBack, setIsBack] = useState(false);
  if (clientHeader !== undefined && client === undefined) {
    return <Ask name={words.client} hint={words.clientHint} act={words.show} isBack={isBack} onAnswer={(id) => chosen(id, words, onClient)} />;
  }
  const leave = () => {
    setIsBack(true);
    onClient(undefined);
  };
  return <Own key={client} words={words} client={client} onLeave={clientHeader === undefined ? undefined : leave} />;
}

interface OwnProps {
  words: Words;
  client: string | undefined;
  onLeave: (() => void) | undefined;
}

function Own({ words, client, onLeave }: OwnProps): ReactNode {
  const quota = useMemo(() => ownQuota(client), [client]);
  const place = useFocus(client !== undefined);
  return (
    <QuotaProvider quota={quota} labels={words.labels}>
      <div className="page-who" ref={place} tabIndex={-1}>
        {client !== undefined && <h2 className="page-client"><bdi>{client}</bdi></h2>}
        <RemainingBadge />
        {onLeave && (
          <button type="button" className="quota-button" onClick={onLeave}>
            {words.another}
          </button>
        )}
      </div>
      <QuotaStatus />
      <ForecastNote />
      <UsageChart />
    </QuotaProvider>
  );
}

/** What is wrong with an id, if anything. */
function chosen(id: string, words: Words, set: (id: string) => void): string | undefined {
  const bytes = new TextEncoder().encode(id).length;
  // A header's value has no blanks at its ends: with them, it would be asked for another client.
  if (bytes === 0 || bytes > LONGEST || /\p{Cc}|^ | $/u.test(id)) return words.clientIsWrong;
  set(id);
  return undefined;
}
