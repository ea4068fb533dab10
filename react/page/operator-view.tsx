import { englishManager, germanManager, QuotaError, type QuotaClient, QuotaManager, wordsOf } from "@quota/react";
import { type ReactNode, useState } from "react";

import { Ask } from "./ask";
import { useFocus } from "./focus";
import { operatorQuota } from "./server";
import type { Words } from "./words";

/** Everybody's quotas and usage, for whoever has the token. */
export default function OperatorView({ words }: { words: Words }): ReactNode {
  const [quota, setQuota] = useState<QuotaClient>();
  const [isBack, setIsBack] = useState(false);
  if (quota === undefined) {
    const signIn = (token: string) => signedIn(token, words, setQuota);
    return <Ask name={words.token} hint={words.tokenHint} act={words.signIn} isSecret isBack={isBack} onAnswer={signIn} />;
  }
  const leave = () => {
    setIsBack(true);
    setQuota(undefined);
  };
  const manager = words.labels.language === "de" ? germanManager : englishManager;
  return (
    <>
      <Who words={words} onLeave={leave} />
      <QuotaManager quota={quota} labels={{ ...manager, ...words.labels }} />
    </>
  );
}

function Who({ words, onLeave }: { words: Words; onLeave: () => void }): ReactNode {
  const place = useFocus();
  return (
    <div className="page-who" ref={place} tabIndex={-1}>
      <button type="button" className="quota-button" onClick={onLeave}>
        {words.forget}
      </button>
    </div>
  );
}

/** Why the server does not take the token, if it does not. */
async function signedIn(token: string, words: Words, set: (quota: QuotaClient) => void): Promise<string | undefined> {
  const quota = operatorQuota(token);
  try {
    await quota.clients({ limit: 1 });
  } catch (thrown) {
    const error = QuotaError.of(thrown);
    if (error.kind === "unauthorized") return words.tokenIsWrong;
    return error.kind === "forbidden" ? words.noOperators : wordsOf(error, words.labels);
  }
  set(quota);
  return undefined;
}
