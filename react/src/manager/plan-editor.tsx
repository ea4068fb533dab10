import { type ReactNode, useId, useState } from "react";

import { QuotaError } from "../client/error";
import type { Plan, Preview } from "../client/wire";
import { refreshClient, usePoll } from "../hooks/polls";
import { useStatus } from "../hooks/use-status";
import { ErrorNotice, Notice } from "../parts/notice";
import { Section } from "../parts/section";
import { knownZones } from "../time/zone";
import { anotherDraft, type Draft, draftsOf, faultsOf, planOf } from "./draft";
import type { ManagerView } from "./manager-view";
import { PlanPreview } from "./plan-preview";
import { QuotaFields } from "./quota-fields";

interface PlanEditorProps {
  view: ManagerView;
  client: string;
}

/** A client's plan. A change is seen before it is made. */
export function PlanEditor({ view, client }: PlanEditorProps): ReactNode {
  const { quota, labels } = view;
  const [done, setDone] = useState<Done>();
  const load = (signal: AbortSignal) => quota.plan(client, signal);
  const { data: plan, ...state } = usePoll(quota, { words: ["plan"], client, every: 0, load });
  const hasNone = state.error?.status === 404;
  const known: Plan | undefined = hasNone ? { quotas: [] } : plan;
  return (
    <Section
      title={labels.plan}
      view={view}
      state={state}
      hasData={known !== undefined}
      instead={hasNone && <Notice tone="near">{labels.noPlan}</Notice>}
    >
      {known && (
        <Editor key={JSON.stringify(known)} view={view} client={client} plan={known} hasNone={hasNone} onDone={setDone} />
      )}
      {done !== undefined && <DoneNotice view={view} done={done} />}
    </Section>
  );
}

interface EditorProps extends PlanEditorProps {
  plan: Plan;
  hasNone: boolean;
  /** What came of the last attempt: it is told also when another plan is there. */
  onDone: (done: Done | undefined) => void;
}

type Done = "saved" | "removed" | "readOnly" | QuotaError;

function Editor({ view, client, plan, hasNone, onDone }: EditorProps): ReactNode {
  const { quota, labels } = view;
  const zones = useId();
  const [drafts, setDrafts] = useState(() => draftsOf(plan));
  const [preview, setPreview] = useState<Preview>();
  const [isAsking, setIsAsking] = useState(false);
  const { status } = useStatus({ quota, client });
  const faults = faultsOf(drafts);
  const isChanged = JSON.stringify(planOf(drafts)) !== JSON.stringify(plan);

  const change = (changed: Draft[]) => {
    setDrafts(changed);
    setPreview(undefined);
    onDone(undefined);
  };
  const attempt = async (act: () => Promise<Done | undefined>) => {
    try {
      onDone(await act());
    } catch (thrown) {
      const error = QuotaError.of(thrown);
      onDone(error.status === 405 ? "readOnly" : error);
    }
  };
  const showPreview = () => attempt(async () => void setPreview(await quota.previewPlan(client, planOf(drafts))));
  const save = () =>
    attempt(async () => {
      await quota.setPlan(client, planOf(drafts));
      setPreview(undefined);
      void refreshClient(quota, client);
      return "saved";
    });
  const remove = () =>
    attempt(async () => {
      setIsAsking(false);
      await quota.removePlan(client);
      void refreshClient(quota, client);
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
          onRemove={() => change(drafts.filter((one) => one.key !== draft.key))}
        />
      ))}
      <div className="quota-choices">
        <button type="button" className="quota-button" onClick={() => change([...drafts, anotherDraft(drafts, quota.clock.now())])}>
          {labels.addQuota}
        </button>
        <span className="quota-spread" />
        {isChanged && (
          <button type="button" className="quota-button" onClick={() => change(draftsOf(plan))}>
            {labels.discard}
          </button>
        )}
        {!hasNone && !isAsking && (
          <button type="button" className="quota-button" onClick={() => setIsAsking(true)}>
            {labels.removePlan}
          </button>
        )}
        <button type="submit" className="quota-button" disabled={faults.size > 0}>
          {labels.preview}
        </button>
        <button type="button" className="quota-button quota-primary" disabled={!preview} onClick={() => void save()}>
          {labels.save}
        </button>
      </div>
      {isAsking && <Removal view={view} onRemove={() => void remove()} onCancel={() => setIsAsking(false)} />}
      {isChanged && !preview && <p className="quota-faint">{labels.previewFirst}</p>}
      {preview && <PlanPreview view={view} preview={preview} status={status} />}
    </form>
  );
}

interface RemovalProps {
  view: ManagerView;
  onRemove: () => void;
  onCancel: () => void;
}

function Removal({ view: { labels }, onRemove, onCancel }: RemovalProps): ReactNode {
  return (
    <div className="quota-notice quota-notice-near" role="group" aria-label={labels.removePlan}>
      <p>{labels.removePlanConfirm}</p>
      <div className="quota-choices">
        <button type="button" className="quota-button quota-danger" onClick={onRemove}>
          {labels.removePlan}
        </button>
        <button type="button" className="quota-button" onClick={onCancel}>
          {labels.cancel}
        </button>
      </div>
    </div>
  );
}

function DoneNotice({ view: { labels }, done }: { view: ManagerView; done: Done }): ReactNode {
  if (done instanceof QuotaError) return <ErrorNotice error={done} labels={labels} />;
  if (done === "readOnly") return <Notice tone="near">{labels.plansReadOnly}</Notice>;
  return <Notice tone="done">{done === "saved" ? labels.saved : labels.planRemoved}</Notice>;
}
