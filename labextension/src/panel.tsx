import { ReactWidget } from '@jupyterlab/ui-components';
import React from 'react';

import { PanelContext, type IPanel } from './context';
import { Boundary } from './parts/boundary';
import { Alerts } from './sections/alerts';
import { Catalog } from './sections/catalog';
import { ConnectionSection } from './sections/connection';
import { ContactBanner } from './sections/contact';
import { Environment } from './sections/environment';
import { Jobs } from './sections/jobs';
import { Servers } from './sections/servers';
import { Sessions } from './sections/sessions';
import { UsageSection } from './sections/usage';

const SECTIONS: [string, () => React.JSX.Element][] = [
  ['alerts', Alerts],
  ['connection', ConnectionSection],
  ['servers', Servers],
  ['sessions', Sessions],
  ['jobs', Jobs],
  ['usage', UsageSection],
  ['environment', Environment],
  ['catalog', Catalog]
];

/** The sidebar's panel: a view of what the store knows, without a state of its own. */
export class RexecPanel extends ReactWidget {
  constructor(private readonly panel: IPanel) {
    super();
    this.id = 'rexec-panel';
    this.addClass('rexec-Panel');
    this.title.caption = panel.trans.__('Remote execution');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', panel.trans.__('Remote execution'));
    // Focus can come here even before there is anything to press.
    this.node.tabIndex = -1;
  }

  protected override render(): React.JSX.Element {
    return (
      <PanelContext.Provider value={this.panel}>
        <ContactBanner />
        {SECTIONS.map(([name, Part]) => (
          <Boundary key={name}>
            <Part />
          </Boundary>
        ))}
      </PanelContext.Provider>
    );
  }
}
