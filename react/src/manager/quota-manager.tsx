import { type ReactNode, useState } from "react";

import { UsageChart } from "../chart/usage-chart.js";
import { ForecastNote } from "../parts/forecast-note.js";
import { QuotaStatus } from "../parts/quota-status.js";
import { ClientList } from "./client-list.js";
import { DenialList } from "./denial-list.js";
import { type ManagerView, type ManagerViewProps, useManagerView } from "./manager-view.js";
import { PlanEditor } from "./plan-editor.js";
import { UsageDeletion } from "./usage-deletion.js";

export interface QuotaManagerProps extends ManagerViewProps {
  /** The client that is shown first. */
  client?: string | undefined;
}

/** For operators: find a client; see its quotas, its usage and why it was refused; change its plan; delete usage. */
export function QuotaManager({ client: first, ...props }: QuotaManagerProps): ReactNode {
  const view = useManagerView(props);
  const [client, setClient] = useState(first);
  return (
    <div className="quota quota-manager">
      <ClientList view={view} client={client} onClient={setClient} />
      {client === undefined ? (
        <p className="quota-faint quota-nobody">{view.labels.chooseClient}</p>
      ) : (
        <OneClient key={client} view={view} props={props} client={client} />
      )}
    </div>
  );
}

function OneClient({ view, props, client }: { view: ManagerView; props: ManagerViewProps; client: string }): ReactNode {
  return (
    <div className="quota-one">
      <h2 className="quota-client"><bdi>{client}</bdi></h2>
      <QuotaStatus {...props} client={client} />
      <ForecastNote {...props} client={client} />
      <UsageChart {...props} client={client} />
      <DenialList view={view} client={client} />
      <PlanEditor view={view} client={client} />
      <UsageDeletion view={view} client={client} />
    </div>
  );
}
