import { words as english } from "./english";
import type { Words } from "./words";

/** The languages of the page, each by its own name. */
export const LANGUAGES = { en: "English", de: "Deutsch" };

export type Language = keyof typeof LANGUAGES;

/** What the browser prefers of them. */
export function firstWords(): Promise<Words> {
  const wanted = navigator.languages.map((locale) => locale.split("-")[0]);
  return wordsIn(wanted.find((language) => language === "en" || language === "de") === "de" ? "de" : "en");
}

/** The texts in a language; English where the others cannot be had. */
export async function wordsIn(language: Language): Promise<Words> {
  if (language === "en") return english;
  try {
    return (await import("./german")).words;
  } catch {
    return english;
  }
}
