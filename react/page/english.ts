import { english } from "@quota/react";

import type { Words } from "./words";

export const words: Words = {
  labels: english,
  title: "Usage",
  own: "Your usage",
  operators: "Operators",
  client: "Client id",
  clientHint: "This server is told who asks by a header. The id is kept until this page is closed.",
  show: "Show",
  another: "Another client",
  clientIsWrong: "A client's id has 1 to 255 bytes, no control characters, and here no blank at its ends.",
  token: "Operator token",
  tokenHint: "It is kept in memory until this view is left, and nowhere else.",
  tokenIsWrong: "The server does not accept this token.",
  noOperators: "This server takes no operator token.",
  signIn: "Sign in",
  forget: "Forget token",
  language: "Language",
};
