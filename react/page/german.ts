import { german } from "@quota/react";

import type { Words } from "./words";

export const words: Words = {
  labels: german,
  title: "Verbrauch",
  own: "Ihr Verbrauch",
  operators: "Betrieb",
  client: "Kennung",
  clientHint: "Wer fragt, sagt diesem Server ein Header. Die Kennung bleibt, bis diese Seite geschlossen wird.",
  show: "Zeigen",
  another: "Anderer Kunde",
  clientIsWrong: "Eine Kennung hat 1 bis 255 Bytes, keine Steuerzeichen, und hier kein Leerzeichen am Rand.",
  token: "Betriebs-Token",
  tokenHint: "Es bleibt im Speicher, bis diese Ansicht verlassen wird, und nirgends sonst.",
  tokenIsWrong: "Der Server nimmt dieses Token nicht an.",
  noOperators: "Dieser Server nimmt kein Betriebs-Token an.",
  signIn: "Anmelden",
  forget: "Token vergessen",
  language: "Sprache",
};
