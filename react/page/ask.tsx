import { type ReactNode, useId, useState } from "react";

import { useFocus } from "./focus";

interface AskProps {
  name: string;
  hint: string;
  act: string;
  isSecret?: boolean;
  /** Whether it has come in place of what the keyboard was in. */
  isBack: boolean;
  /** Takes the answer, or says what is wrong with it. */
  onAnswer: (answer: string) => string | undefined | Promise<string | undefined>;
}

/** Asks for one thing before the rest of the page is there. */
export function Ask({ name, hint, act, isSecret = false, isBack, onAnswer }: AskProps): ReactNode {
  const id = useId();
  const [answer, setAnswer] = useState("");
  const [fault, setFault] = useState<string>();
  const [isBusy, setIsBusy] = useState(false);
  const field = useFocus<HTMLInputElement>(isBack);
  const submit = async () => {
    if (isBusy) return;
    setIsBusy(true);
    // The same words again are said again.
    setFault(undefined);
    setFault(await onAnswer(answer));
    setIsBusy(false);
  };
  return (
    <form
      className="quota quota-section page-ask"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      <label className="quota-field quota-wide">
        {name}
        <input
          ref={field}
          type={isSecret ? "password" : "text"}
          value={answer}
          required
          autoComplete="off"
          dir="auto"
          spellCheck={false}
          aria-invalid={fault !== undefined}
          aria-describedby={`${id}hint ${id}fault`}
          onChange={(event) => setAnswer(event.target.value)}
        />
      </label>
      <p id={`${id}hint`} className="quota-faint">{hint}</p>
      <p id={`${id}fault`} className={fault && "quota-fault"} role="alert">{fault}</p>
      <div>
        <button type="submit" className="quota-button quota-primary" aria-disabled={isBusy}>
          {act}
        </button>
      </div>
    </form>
  );
}
