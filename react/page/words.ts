import type { Labels } from "@quota/react";

/** The page's own texts. */
export interface Words {
  labels: Labels;
  title: string;
  own: string;
  operators: string;
  client: string;
  clientHint: string;
  show: string;
  another: string;
  clientIsWrong: string;
  token: string;
  tokenHint: string;
  tokenIsWrong: string;
  noOperators: string;
  signIn: string;
  forget: string;
  language: string;
}
