import { type ReactNode, useEffect, useId, useRef, useState } from "react";

import { QuotaError } from "../client/error.js";
import type { QuotaClient } from "../client/quota-client.js";
import type { Plan, Preview } from "../client/wire.js";
import { refreshClient, refreshClients, usePoll } from "../hooks/polls.js";
import { useStatus } from "../hooks/use-status.js";
import { ErrorNotice, Notice } from "../parts/notice.js";
import { Section } from "../parts/section.js";
import { knownZones } from "../time/zone.js";
import { anotherDraft, type Draft, draftsOf, faultsOf, isSame, planOf } from "./draft.js";
import type { ManagerView } from "./manager-view.js";
import { PlanPreview } from "./plan-preview.js";
import { QuotaFields } from "./quota-fields.js";

interface PlanEditorProps {
  view: ManagerView;
  client: string;
}

/** A client's plan. A change is seen before it is made. */
export function PlanEditor({ view, client }: PlanEditorProps): ReactNode {
  const { quota, labels } = view;
  const load = (signal: AbortSignal) => planOfClient(quota, client, signal);
  const { data: plan, ...state } = usePoll(quota, { words: ["plan"], client, every: 0, load });
  return (
    <Section title={labels.plan} view={view} state={state} hasData={plan !== undefined}>
      {plan === null && <Notice tone="near">{labels.noPlan}</Notice>}
      {plan !== undefined && <Editor view={view} client={client} plan={plan ?? NONE} hasNone={plan === null} />}
    </Section>
  );
}

const NONE: Plan = { quotas: [] };

/** A client's plan; that it has none is an answer. */
async function planOfClient(quota: QuotaClient, client: string, signal?: AbortSignal): Promise<Plan | null> {
  try {
    return await quota.plan(client, signal);
  } catch (thrown) {
    const error = QuotaError.of(thrown);
    if (error.kind === "refused" && error.status === 404) return null;
    throw error;
  }
}

interface EditorProps extends PlanEditorProps {
  plan: Plan;
  hasNone: boolean;
}

/** What came of the last attempt. */
type Done = "saved" | "removed" | "readOnly" | "overtaken" | QuotaError;

interface Previewed {
  plan: Plan;
  preview: Preview;
}

function Editor({ view, client, plan, hasNone }: EditorProps): ReactNode {
  const { quota, labels } = view;
  const zones = useId();
  const add = useRef<HTMLButtonElement>(null);
  const isBusy = useRef(false);
  const [edited, setEdited] = useState<Edited>({ plan, drafts: draftsOf(plan), isOvertaken: false, made: undefined });
  const [previewed, setPreviewed] = useState<Previewed>();
  const [asked, setAsked] = useState<"remove" | "lift">();
  const [done, setDone] = useState<Done>();
  const { status } = useStatus({ quota, client });
  if (!isSame(plan, edited.plan)) setEdited(onto(plan, edited));

  const { drafts, isOvertaken } = edited;
  const faults = faultsOf(drafts);
  const wanted = planOf(drafts);
  const isChanged = !isSame(wanted, plan);
  // Of what stands here now: an answer may be late.
  const preview = previewed && isSame(previewed.plan, wanted) ? previewed.preview : undefined;

  const liftsAll = wanted.quotas.length === 0;
  // Who has no plan is not to get an empty one, which limits nothing, for want of something to say.
  const canSave = preview !== undefined && !(hasNone && liftsAll);

  const change = (changed: Draft[]) => {
    setEdited({ ...edited, drafts: changed });
    setDone(undefined);
  };
  /** What goes takes the keyboard with it, unless that is led away first. */
  const leaveTo = (place: HTMLButtonElement | null) => place?.focus();
  const takePlan = () => {
    leaveTo(add.current);
    setEdited({ ...edited, drafts: draftsOf(plan), isOvertaken: false });
    setDone(undefined);
  };
  const attempt = async (act: () => Promise<Done | undefined>) => {
    if (isBusy.current) return;
    isBusy.current = true;
    try {
      setDone(await act());
    } catch (thrown) {
      const error = QuotaError.of(thrown);
      setDone(error.kind === "refused" && error.status === 405 ? "readOnly" : error);
    } finally {
      isBusy.current = false;
    }
  };
  /** Whether the plan is what the form began with. Where somebody else has changed it, the form takes notice. */
  const isAsSeen = async () => {
    const there = (await planOfClient(quota, client)) ?? NONE;
    if (isSame(there, edited.plan)) return true;
    await refreshClient(quota, client);
    return false;
  };
  const showPreview = () =>
    attempt(async () => {
      const [preview] = await Promise.all([quota.previewPlan(client, wanted), isAsSeen()]);
      setPreviewed({ plan: wanted, preview });
      return undefined;
    });
  const make = async (made: Plan, act: () => Promise<unknown>) => {
    // Where the answer is lost it may be made all the same, and is no other's then.
    setEdited((now) => ({ ...now, made }));
    try {
      await act();
      setEdited((now) => ({ ...now, isOvertaken: false }));
    } finally {
      void refreshClient(quota, client);
      void refreshClients(quota);
    }
  };
  const save = () =>
    attempt(async () => {
      setAsked(undefined);
      if (!(await isAsSeen())) {
        // To be looked at again, beside what is there now.
        setPreviewed(undefined);
        return "overtaken";
      }
      await make(wanted, () => quota.setPlan(client, wanted));
      setPreviewed(undefined);
      return "saved";
    });
  const remove = () =>
    attempt(async () => {
      leaveTo(add.current);
      setAsked(undefined);
      if (!(await isAsSeen())) return "overtaken";
      await make(NONE, () => quota.removePlan(client));
      return "removed";
    });
  return (
    <form
      className="quota-form"
      onSubmit={(event) => {
        event.preventDefault();
        if (faults.size === 0) void showPreview();
      }}
    >
      {isOvertaken && isChanged && <Overtaken view={view} onTake={takePlan} />}
      <datalist id={zones}>{knownZones().map((zone) => <option key={zone} value={zone} />)}</datalist>
      {drafts.map((draft, index) => (
        <QuotaFields
          key={draft.key}
          view={view}
          draft={draft}
          number={index + 1}
          zones={zones}
          fault={faults.get(draft.key)}
          onChange={(changed) => change(drafts.map((one) => (one.key === changed.key ? changed : one)))}
          onRemove={() => {
            leaveTo(add.current);
            change(drafts.filter((one) => one.key !== draft.key));
          }}
        />
      ))}
      <div className="quota-choices">
        <button ref={add} type="button" className="quota-button" onClick={() => change([...drafts, anotherDraft(drafts, quota.clock.now())])}>
          {labels.addQuota}
        </button>
        <span className="quota-spread" />
        {isChanged && (
          <button type="button" className="quota-button" onClick={takePlan}>
            {labels.discard}
          </button>
        )}
        {!hasNone && (
          <button type="button" className="quota-button" aria-expanded={asked === "remove"} onClick={() => setAsked(asked === "remove" ? undefined : "remove")}>
            {labels.removePlan}
          </button>
        )}
        <button type="submit" className="quota-button" aria-disabled={faults.size > 0}>
          {labels.preview}
        </button>
        <button type="button" className="quota-button quota-primary" aria-disabled={!canSave} onClick={() => canSave && (liftsAll ? setAsked("lift") : void save())}>
          {labels.save}
        </button>
      </div>
      {asked === "remove" && !hasNone && (
        <Confirm view={view} words={labels.removePlanConfirm} act={labels.removePlan} onConfirm={() => void remove()} onCancel={() => setAsked(undefined)} />
      )}
      {asked === "lift" && liftsAll && canSave && (
        <Confirm view={view} words={labels.liftAllConfirm} act={labels.liftAll} onConfirm={() => void save()} onCancel={() => setAsked(undefined)} />
      )}
      {isChanged && !preview && <p className="quota-faint">{labels.previewFirst}</p>}
      {preview && <PlanPreview view={view} preview={preview} status={status} />}
      {done !== undefined && <DoneNotice view={view} done={done} />}
    </form>
  );
}

/** What stands in the form. */
interface Edited {
  /** The client's plan, as far as the form has taken notice of it. */
  plan: Plan;
  drafts: Draft[];
  /** Whether somebody else has changed the plan since the form was begun. */
  isOvertaken: boolean;
  /** The plan that was last made here. */
  made: Plan | undefined;
}

/** Another plan is there: it is shown, unless there are changes that would be lost. */
function onto(plan: Plan, { plan: before, drafts, isOvertaken, made }: Edited): Edited {
  const wanted = planOf(drafts);
  if (isSame(wanted, before) && !isSame(wanted, plan)) return { plan, drafts: draftsOf(plan), isOvertaken: false, made };
  const isOurs = made !== undefined && isSame(plan, made);
  return { plan, drafts, isOvertaken: isOvertaken || !(isOurs || isSame(plan, wanted)), made };
}

function Overtaken({ view: { labels }, onTake }: { view: ManagerView; onTake: () => void }): ReactNode {
  return (
    <Notice tone="near">
      {labels.planChanged}{" "}
      <button type="button" className="quota-link" onClick={onTake}>
        {labels.takePlan}
      </button>
    </Notice>
  );
}

interface ConfirmProps {
  view: ManagerView;
  words: string;
  /** What is done. */
  act: string;
  onConfirm: () => void;
  onCancel: () => void;
}

/** Asks once more; the keyboard goes there, and back to the button that asked. */
function Confirm({ view: { labels }, words, act, onConfirm, onCancel }: ConfirmProps): ReactNode {
  const group = useRef<HTMLDivElement>(null);
  const before = useRef<Element>(null);
  useEffect(() => {
    before.current ??= document.activeElement;
    group.current?.focus();
  }, []);
  const cancel = () => {
    if (before.current instanceof HTMLElement) before.current.focus();
    onCancel();
  };
  return (
    <div ref={group} className="quota-notice quota-notice-near" role="group" aria-label={act} tabIndex={-1}>
      <p>{words}</p>
      <div className="quota-choices">
        <button type="button" className="quota-button quota-danger" onClick={onConfirm}>
          {act}
        </button>
        <button type="button" className="quota-button" onClick={cancel}>
          {labels.cancel}
        </button>
      </div>
    </div>
  );
}

function DoneNotice({ view: { labels }, done }: { view: ManagerView; done: Done }): ReactNode {
  if (done instanceof QuotaError) return <ErrorNotice error={done} labels={labels} />;
  if (done === "overtaken") return <Notice tone="near">{labels.lookAgain}</Notice>;
  if (done === "readOnly") return <Notice tone="near">{labels.plansReadOnly}</Notice>;
  return <Notice tone="done">{done === "saved" ? labels.saved : labels.planRemoved}</Notice>;
}
