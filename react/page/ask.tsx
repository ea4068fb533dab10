import { type ReactNode, useId, useState } from "react";

interface AskProps {
  name: string;
  hint: string;
  act: string;
  isSecret?: boolean;
  /** Takes the answer, or says what is wrong with it. */
  onAnswer: (answer: string) => string | undefined | Promise<string | undefined>;
}

/** Asks for one thing before the rest of the page is there. */
export function Ask({ name, hint, act, isSecret = false, onAnswer }: AskProps): ReactNode {
  const id = useId();
  const [answer, setAnswer] = useState("");
  const [fault, setFault] = useState<string>();
  const [isBusy, setIsBusy] = useState(false);
  const submit = async () => {
    setIsBusy(true);
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
          type={isSecret ? "password" : "text"}
          value={answer}
          required
          autoComplete="off"
          spellCheck={false}
          aria-invalid={fault !== undefined}
          aria-describedby={`${id}hint ${id}fault`}
          onChange={(event) => setAnswer(event.target.value)}
        />
      </label>
      <p id={`${id}hint`} className="quota-faint">{hint}</p>
      <p id={`${id}fault`} className={fault && "quota-fault"} role="alert">{fault}</p>
      <div>
        <button type="submit" className="quota-button quota-primary" disabled={isBusy}>
          {act}
        </button>
      </div>
    </form>
  );
}
