import { type ReactNode, useEffect, useState } from "react";

import { ClientView } from "./client-view";
import { LANGUAGES, type Language, wordsIn } from "./language";
import { Operators } from "./operators";
import type { Words } from "./words";

const OPERATORS = "#operators";

/** A client's view, and at `#operators` that of operators. */
export function Page({ first }: { first: Words }): ReactNode {
  const [words, setWords] = useState(first);
  // Beside the view: whoever comes back from the other one is still there.
  const [client, setClient] = useState<string>();
  const isOperators = useHash() === OPERATORS;
  const { language } = words.labels;
  useEffect(() => {
    document.documentElement.lang = language;
    document.title = isOperators ? `${words.operators} – ${words.title}` : words.title;
  }, [language, words, isOperators]);
  const place = (href: string, name: string, isHere: boolean) => (
    <a href={href} aria-current={isHere ? "page" : undefined}>
      {name}
    </a>
  );
  return (
    <>
      <header className="quota page-head">
        <h1>{words.title}</h1>
        <nav aria-label={words.title}>
          {place("#", words.own, !isOperators)}
          {place(OPERATORS, words.operators, isOperators)}
        </nav>
        <span className="quota-spread" />
        <Languages words={words} onWords={setWords} />
      </header>
      <main className="quota page-main">
        {isOperators ? <Operators words={words} /> : <ClientView words={words} client={client} onClient={setClient} />}
      </main>
    </>
  );
}

function Languages({ words, onWords }: { words: Words; onWords: (words: Words) => void }): ReactNode {
  const choose = async (language: string) => onWords(await wordsIn(language as Language));
  return (
    <label className="quota-field page-language">
      <span className="quota-hidden">{words.language}</span>
      <select value={words.labels.language} onChange={(event) => void choose(event.target.value)}>
        {Object.entries(LANGUAGES).map(([language, name]) => (
          <option key={language} value={language} lang={language}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function useHash(): string {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const follow = () => setHash(location.hash);
    addEventListener("hashchange", follow);
    return () => removeEventListener("hashchange", follow);
  }, []);
  return hash;
}
